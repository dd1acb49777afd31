import { describe, expect, it } from "vitest";

import type { Sections } from "./days";
import {
  cellAt,
  gridRatio,
  layOut,
  moveFrom,
  pictureAt,
  placesInRow,
  RATIO_UNIT,
  rowOf,
  sectionAbove,
  sectionAt,
  visibleRows,
  visibleSections,
  type Layout,
} from "./layout";

/** Numbers from 0 to 1 that are the same at each run. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function someRatios(count: number, seed: number): Uint16Array {
  const next = numbers(seed);
  const usual = [1.5, 4 / 3, 16 / 9, 1, 3 / 4, 2 / 3, 9 / 16];
  return Uint16Array.from({ length: count }, () => {
    const ratio =
      next() < 0.8 ? usual[Math.floor(next() * usual.length)]! : (next() * 4 + 0.1) / (next() + 0.1);
    return Math.min(65_535, Math.max(1, Math.round(ratio * RATIO_UNIT)));
  });
}

const equal = (count: number, ratio: number) => new Uint16Array(count).fill(ratio * RATIO_UNIT);

/** Days of so many pictures each. */
function daysOf(...sizes: number[]): Sections {
  const starts = [0];
  for (const size of sizes) starts.push(starts.at(-1)! + size);
  return {
    count: sizes.length,
    starts: Int32Array.from(starts),
    days: Int32Array.from(sizes, (_, index) => 20261126 - index),
  };
}

/** Days of many and of few pictures. */
function someDays(count: number, seed: number): Sections {
  const next = numbers(seed + 50);
  const sizes: number[] = [];
  for (let left = count; left > 0;) {
    const size = Math.min(left, Math.floor(next() ** 3 * 90) + 1);
    sizes.push(size);
    left -= size;
  }
  return daysOf(...sizes);
}

const cases = [320, 390, 800, 1280, 1920, 3840].flatMap((width) =>
  [1, 2, 3].map((seed) => ({ width, rowHeight: 60 + seed * 70, gap: seed * 2 - 2, heading: 40, seed })),
);

function rowsOf(layout: Layout): number[][] {
  return Array.from({ length: layout.rows }, (_, row) => {
    const start = layout.rowStarts[row]!;
    return Array.from({ length: layout.rowStarts[row + 1]! - start }, (_, offset) => start + offset);
  });
}

describe.each(cases)("at width $width, rows of $rowHeight, gap $gap", (options) => {
  const { width, gap, heading, seed } = options;
  const ratios = someRatios(500, seed);
  const sections = someDays(500, seed);
  const layout = layOut(ratios, sections, options);

  it("has every picture once, in order", () => {
    expect(rowsOf(layout).flat()).toEqual(Array.from({ length: 500 }, (_, index) => index));
  });

  it("fills the width with every row but the last of a day, which does not reach beyond", () => {
    const lastRows = new Set([...layout.sectionRows].map((row) => row - 1));
    for (const [number, row] of rowsOf(layout).entries()) {
      const end = cellAt(layout, row.at(-1)!);
      const right = end.left + end.width;
      if (!lastRows.has(number)) expect(right).toBe(width);
      else expect(right).toBeLessThanOrEqual(width);
      expect(cellAt(layout, row[0]!).left).toBe(0);
    }
  });

  it("begins every day with a heading and a row of its own", () => {
    for (let day = 0; day < sections.count; day += 1) {
      const first = cellAt(layout, sections.starts[day]!);
      expect(first.left).toBe(0);
      expect(first.top).toBe(layout.sectionTops[day]! + heading);
      expect(layout.rowStarts[layout.sectionRows[day]!]).toBe(sections.starts[day]);
      expect(sectionAt(layout, layout.sectionTops[day]! + 1)).toBe(day);
    }
    expect(layout.sectionTops[sections.count]).toBe(layout.height);
  });

  it("keeps exactly a gap between neighbours and between rows", () => {
    for (const [number, row] of rowsOf(layout).entries()) {
      for (const [left, right] of row.slice(1).map((index) => [index - 1, index] as const)) {
        const before = cellAt(layout, left);
        expect(cellAt(layout, right).left - before.left - before.width).toBe(gap);
      }
      if (number + 1 === layout.rows) continue;
      const isNewDay = layout.sectionRows.includes(number + 1);
      const above = cellAt(layout, row[0]!);
      const below = cellAt(layout, row.at(-1)! + 1);
      expect(below.top - above.top - above.height).toBe(gap + (isNewDay ? heading : 0));
    }
  });

  it("shows every picture nearly in its own ratio", () => {
    for (let index = 0; index < layout.count; index += 1) {
      const { width, height } = cellAt(layout, index);
      // A pixel of rounding in each direction.
      const ratio = gridRatio(ratios[index]!);
      expect(Math.abs(width - ratio * height)).toBeLessThanOrEqual(2 + ratio);
    }
  });

  it("finds what is visible as a look at every picture does", () => {
    const next = numbers(seed + 100);
    for (let round = 0; round < 40; round += 1) {
      const from = Math.floor(next() * (layout.height + 400)) - 200;
      const to = from + Math.floor(next() * 900) + 1;
      const seen: number[] = [];
      for (let row = 0; row < layout.rows; row += 1) {
        const top = layout.rowTops[row]!;
        if (top + layout.rowHeights[row]! + gap > Math.max(0, from) && top < to) seen.push(row);
      }
      const { first, last } = visibleRows(layout, from, to);
      const found = Array.from({ length: last - first }, (_, offset) => first + offset);
      if (from < layout.height) expect(found).toEqual(seen);
      else expect(found).toEqual([]);
      const days: number[] = [];
      for (let day = 0; day < sections.count; day += 1) {
        if (layout.sectionTops[day + 1]! > Math.max(0, from) && layout.sectionTops[day]! < to) days.push(day);
      }
      const headings = visibleSections(layout, from, to);
      if (from < layout.height && to > 0) {
        expect(headings).toEqual({ first: days[0], last: days.at(-1)! + 1 });
      }
    }
  });
});

describe("rows", () => {
  it("are near the wanted height where pictures are of the usual shapes", () => {
    const layout = layOut(equal(1000, 1.5), daysOf(1000), {
      width: 1280,
      rowHeight: 190,
      gap: 4,
      heading: 0,
    });
    for (const row of rowsOf(layout)) {
      expect(cellAt(layout, row[0]!).height).toBeGreaterThan(150);
      expect(cellAt(layout, row[0]!).height).toBeLessThan(240);
    }
  });

  it("leave a lone picture its height instead of stretching it", () => {
    const options = { width: 1280, rowHeight: 200, gap: 4, heading: 40 };
    const layout = layOut(equal(1, 1.5), daysOf(1), options);
    expect(cellAt(layout, 0)).toEqual({ left: 0, top: 40, width: 300, height: 200 });
    expect(layout.height).toBe(240);
  });

  it("are none without pictures", () => {
    const layout = layOut(equal(0, 1), daysOf(), { width: 1280, rowHeight: 200, gap: 4, heading: 40 });
    expect(layout.height).toBe(0);
    expect(visibleRows(layout, 0, 1000)).toEqual({ first: 0, last: 0 });
    expect(visibleSections(layout, 0, 1000)).toEqual({ first: 0, last: 0 });
    expect(moveFrom(layout, 0, "after", 500)).toBe(-1);
    expect(pictureAt(layout, 0)).toBe(-1);
  });

  it("are looked up with no list of numbers made anew for each", () => {
    const layout = layOut(equal(12, 1), daysOf(7, 5), { width: 300, rowHeight: 100, gap: 0, heading: 0 });
    const places: number[] = [];
    expect(placesInRow(layout, 0, places)).toBe(places);
    expect(places).toEqual([0, 100, 100, 100, 200, 100]);
    expect(placesInRow(layout, 2, places)).toEqual([0, 100]);
  });
});

it("extreme shapes are cut", () => {
  expect(gridRatio(65_535)).toBe(3);
  expect(gridRatio(1)).toBe(0.45);
  expect(gridRatio(RATIO_UNIT * 1.5)).toBe(1.5);
});

it("the picture at a height is the first in sight there, or the last one", () => {
  const layout = layOut(equal(10, 1), daysOf(4, 6), { width: 200, rowHeight: 100, gap: 0, heading: 50 });
  // Headings at 0 and 250, rows at 50, 150, 300, 400 and 500.
  expect([0, 60, 149, 150, 260, 399, 550, 9999].map((top) => pictureAt(layout, top))).toEqual([
    0, 0, 0, 2, 4, 4, 8, 9,
  ]);
});

describe("keys", () => {
  // Squares of 100: six a row, seventeen rows, the last with four.
  const layout = layOut(equal(100, 1), daysOf(100), { width: 600, rowHeight: 100, gap: 0, heading: 0 });

  it("move along and between rows, and stop at the ends", () => {
    expect(rowOf(layout, 99)).toBe(16);
    expect(moveFrom(layout, 0, "before", 300)).toBe(0);
    expect(moveFrom(layout, 5, "after", 300)).toBe(6);
    expect(moveFrom(layout, 8, "up", 300)).toBe(2);
    expect(moveFrom(layout, 2, "up", 300)).toBe(2);
    expect(moveFrom(layout, 2, "down", 300)).toBe(8);
    expect(moveFrom(layout, 95, "down", 300)).toBe(99);
    expect(moveFrom(layout, 98, "down", 300)).toBe(98);
    expect(moveFrom(layout, 50, "home", 300)).toBe(0);
    expect(moveFrom(layout, 50, "end", 300)).toBe(99);
  });

  it("move by what is seen at once, and at least by a row", () => {
    expect(moveFrom(layout, 2, "pageDown", 300)).toBe(20);
    expect(moveFrom(layout, 20, "pageUp", 300)).toBe(2);
    expect(moveFrom(layout, 2, "pageDown", 10)).toBe(8);
    expect(moveFrom(layout, 1, "pageUp", 300)).toBe(0);
    expect(moveFrom(layout, 97, "pageDown", 300)).toBe(99);
  });
});

it("a million pictures cost a few numbers a row and none a picture", () => {
  const sections = someDays(1_000_000, 7);
  const options = { width: 1280, rowHeight: 190, gap: 4, heading: 48 };
  const layout = layOut(someRatios(1_000_000, 7), sections, options);
  expect(layout.rows).toBeLessThan(500_000);
  expect(layout.rowStarts.length).toBe(layout.rows + 1);
  expect(layout.rowTops.length + layout.rowHeights.length + layout.rowFull.length).toBe(layout.rows * 3);
  const { first, last } = visibleRows(layout, layout.height / 2, layout.height / 2 + 800);
  expect(last - first).toBeLessThan(12);
});

describe("the day above what is in sight", () => {
  // Headings are 48 high, with a line of 32 that begins 12 below their top.
  const layout = layOut(equal(4, 1), daysOf(2, 1, 1), { width: 100, rowHeight: 100, gap: 2, heading: 48 });
  const above = (top: number) => sectionAbove(layout, top, 12, 32);

  it("is told once its heading's text goes, and not before", () => {
    expect([...layout.sectionTops]).toEqual([0, 252, 402, 550]);
    expect([-30, 0, 12, 13, 150].map(above)).toEqual([-1, -1, -1, 0, 0]);
  });

  it("makes room for the next day's heading, which then is the one in sight", () => {
    // The next line is at 264, the label 32 high.
    expect([232, 233, 264, 265].map(above)).toEqual([0, -1, -1, 1]);
  });

  it("is the last one's to the end", () => {
    expect([415, 549, 900].map(above)).toEqual([2, 2, 2]);
  });

  it("is none without pictures", () => {
    expect(
      sectionAbove(
        layOut(equal(0, 1), daysOf(), { width: 100, rowHeight: 100, gap: 2, heading: 48 }),
        500,
        12,
        32,
      ),
    ).toBe(-1);
  });
});
