import { expect, it } from "vitest";

import { heldOf, hotkeyInWords, hotkeyOf, isSuper, type Press } from "./hotkey";

const press = (held: string, key: string, code = ""): Press => ({
  key,
  code,
  ctrlKey: held.includes("c"),
  altKey: held.includes("a"),
  shiftKey: held.includes("s"),
  metaKey: held.includes("m"),
});

it.each([
  [press("ca", "u", "KeyU"), "Ctrl+Alt+U"],
  // Another layout has it elsewhere.
  [press("c", "z", "KeyY"), "Ctrl+Z"],
  // What is held makes another character of it.
  [press("ca", "@", "KeyQ"), "Ctrl+Alt+Q"],
  [press("sm", "!", "Digit1"), "Shift+Super+1"],
  [press("a", "ф", "KeyA"), "Alt+A"],
  [press("", "PrintScreen", "PrintScreen"), "Print"],
  [press("c", " ", "Space"), "Ctrl+Space"],
  [press("c", "PageUp", "PageUp"), "Ctrl+PageUp"],
  [press("", "F12", "F12"), "F12"],
  // The app says why that is none.
  [press("", "u", "KeyU"), "U"],
  [press("c", "Control", "ControlLeft"), null],
  [press("c", "Dead", "Quote"), null],
  [press("c", "F25", "F25"), null],
  [press("c", "ArrowUp", "ArrowUp"), null],
])("%o is %s", (pressed, name) => {
  expect(hotkeyOf(pressed)).toBe(name);
});

it("knows the key with the logo by either of its names", () => {
  expect([press("", "Meta", "MetaLeft"), press("", "Unidentified", "OSRight")].map(isSuper)).toEqual([
    true,
    true,
  ]);
  expect([press("m", "u", "KeyU"), press("c", "Control", "ControlLeft")].map(isSuper)).toEqual([
    false,
    false,
  ]);
});

it("tells what is held meanwhile", () => {
  expect(heldOf(press("cs", "Control"))).toBe("Ctrl+Shift+");
  expect(heldOf(press("", "a"))).toBe("");
});

it("is shown as the keyboard has it", () => {
  const german = { control: "Strg", shift: "Umschalt" };
  expect(
    ["Ctrl+Alt+U", "Ctrl+Shift+F5", "Shift+…", "F12", ""].map((it) => hotkeyInWords(it, german)),
  ).toEqual(["Strg+Alt+U", "Strg+Umschalt+F5", "Umschalt+…", "F12", ""]);
});
