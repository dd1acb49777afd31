import { describe, expect, it } from "vitest";

import { MARGIN, placeAt, placeTip } from "./place";

const room = { width: 1280, height: 800 };
const menu = { width: 200, height: 280 };
const at = (x: number, y: number, leftwards = false) => placeAt({ x, y }, menu, room, leftwards);

describe("a menu", () => {
  it("opens down and to the right of the pointer, or to the left where lines begin at the right", () => {
    expect(at(300, 200)).toEqual({ left: 300, top: 200 });
    expect(at(300, 200, true)).toEqual({ left: 100, top: 200 });
  });

  it("turns over at the window's edges, so that no entry is under the pointer", () => {
    expect(at(300, 760)).toEqual({ left: 300, top: 480 });
    expect(at(1270, 795)).toEqual({ left: 1070, top: 512 });
    expect(at(20, 200, true)).toEqual({ left: 20, top: 200 });
  });

  it("has the pointer at a corner wherever there is room on one side", () => {
    for (let x = 0; x < room.width; x += 7) {
      for (let y = 0; y < room.height; y += 7) {
        for (const leftwards of [false, true]) {
          const { left, top } = at(x, y, leftwards);
          expect(left >= MARGIN && left + menu.width <= room.width - MARGIN).toBe(true);
          expect(top >= MARGIN && top + menu.height <= room.height - MARGIN).toBe(true);
          const inside = x > left && x < left + menu.width && y > top && y < top + menu.height;
          expect(inside, `${x} ${y}`).toBe(false);
        }
      }
    }
  });

  it("is as near as it goes in a window that is too low for it, beside the pointer", () => {
    const { left, top } = placeAt({ x: 100, y: 150 }, menu, { width: 400, height: 300 }, false);
    expect({ left, top }).toEqual({ left: 100, top: 12 });
  });
});

it("a word stands below the middle of what it is about, within the window, and over what is at its lower edge", () => {
  const word = { width: 120, height: 28 };
  const about = (left: number, top: number) => placeTip({ left, top, width: 36, height: 36 }, word, room);
  expect(about(400, 8)).toEqual({ left: 358, top: 50 });
  expect(about(1240, 8).left).toBe(1154);
  expect(about(2, 8).left).toBe(6);
  expect(about(400, 760)).toEqual({ left: 358, top: 726 });
});
