import { describe, expect, it } from "vitest";

import { strings } from "../strings";
import { GRID_KEYS, isUndo, keyCap, linesFor, VIEWER_KEYS, type Line } from "./keys";

const lists: [string, readonly Line[]][] = [
  ["grid", GRID_KEYS],
  ["viewer", VIEWER_KEYS],
];

describe.each(lists)("keys of the %s", (name, lines) => {
  it("each has its words once, and no words are left over", () => {
    const told = strings.keysOf[name as "grid" | "viewer"];
    expect(Object.keys(told).sort()).toEqual(lines.map(({ id }) => id).sort());
  });

  it("who may only look is told of nothing that deletes", () => {
    expect(linesFor(lines, true)).toEqual(lines);
    const left = linesFor(lines, false).map(({ id }) => id);
    expect(left).not.toContain("delete");
    expect(left).not.toContain("undo");
    expect(left).toHaveLength(lines.length - (name === "grid" ? 2 : 1));
  });
});

it("keys are named as keyboards name them", () => {
  const { keyNames } = strings;
  const board = { isApple: false, mirrored: false };
  expect(["control", "home", "F10", "→", "?"].map((key) => keyCap(key, keyNames, board))).toEqual([
    "Ctrl",
    "Home",
    "F10",
    "→",
    "?",
  ]);
  expect(keyCap("toString", keyNames, board)).toBe("toString");
  expect(keyCap("control", keyNames, { ...board, isApple: true })).toBe("⌘");
  // Where lines begin at the right, the next picture is at the left.
  expect(["→", "←", "↑"].map((key) => keyCap(key, keyNames, { ...board, mirrored: true }))).toEqual([
    "←",
    "→",
    "↑",
  ]);
});

it("Ctrl or Command with Z takes back, and with nothing else", () => {
  const press = (key: string, held: string[]) =>
    isUndo({
      key,
      ctrlKey: held.includes("ctrl"),
      metaKey: held.includes("meta"),
      altKey: held.includes("alt"),
      shiftKey: held.includes("shift"),
    });
  expect([press("z", ["ctrl"]), press("Z", ["meta"])]).toEqual([true, true]);
  expect([press("z", []), press("Z", ["ctrl", "shift"]), press("y", ["ctrl"])]).toEqual([
    false,
    false,
    false,
  ]);
});
