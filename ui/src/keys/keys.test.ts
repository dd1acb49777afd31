import { describe, expect, it } from "vitest";

import { strings } from "../strings";
import { GRID_KEYS, keyCap, linesFor, VIEWER_KEYS, type Line } from "./keys";

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
    expect(left).toHaveLength(lines.length - 1);
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
