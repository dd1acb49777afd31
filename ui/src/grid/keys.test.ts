import { expect, it } from "vitest";

import { isStep, isZoom, moveOf } from "./keys";

it("arrows follow the direction of writing, and the other keys do not", () => {
  const keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "Home", "PageDown"];
  expect(keys.map((key) => moveOf(key, false))).toEqual(["before", "after", "up", "home", "pageDown"]);
  expect(keys.map((key) => moveOf(key, true))).toEqual(["after", "before", "up", "home", "pageDown"]);
});

it("other keys are no moves", () => {
  for (const key of ["Enter", " ", "a", "0", "toString"]) expect(moveOf(key, false)).toBeUndefined();
});

it("only arrows need a picture to start from", () => {
  const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];
  expect(moves.map((key) => isStep(moveOf(key, false)!))).toEqual([
    ...[true, true, true, true],
    ...[false, false, false, false],
  ]);
});

it("the keys that browsers have for larger and smaller are the pictures', with their modifier and nothing else", () => {
  const press = (key: string, held: Partial<Record<"ctrlKey" | "metaKey" | "altKey", true>>) =>
    isZoom({ key, ctrlKey: false, metaKey: false, altKey: false, ...held });
  expect(
    ["+", "=", "-", "0"].every((key) => press(key, { ctrlKey: true }) && press(key, { metaKey: true })),
  ).toBe(true);
  expect(press("0", {})).toBe(false);
  expect(press("-", { ctrlKey: true, altKey: true })).toBe(false);
  expect(press("a", { ctrlKey: true })).toBe(false);
});
