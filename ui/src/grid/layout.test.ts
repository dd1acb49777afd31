import { describe, expect, it } from "vitest";

import { cellAt, gridRatio, layOut, moveFrom, rowOf, visibleRange, type Layout } from "./layout";

/** Numbers from 0 to 1 that are the same at each run. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function someRatios(count: number, seed: number): Float64Array {
  const next = numbers(seed);
  const usual = [1.5, 4 / 3, 16 / 9, 1, 3 / 4, 2 / 3, 9 / 16];
  return Float64Array.from({ length: count }, () => {
    const pick = next();
    return pick < 0.8
      ? usual[Math.floor(next() * usual.length)]!
      : gridRatio(next() * 4000 + 1, next() * 4000 + 1);
  });
}

const cases = [320, 390, 800, 1280, 1920, 3840].flatMap((width) =>
  [1, 2, 3].map((seed) => ({ width, rowHeight: 60 + seed * 70, gap: seed * 2 - 2, seed })),
);

function rowsOf(layout: Layout): number[][] {
  return Array.from({ length: layout.rowStarts.length - 1 }, (_, row) => {
    const start = layout.rowStarts[row]!;
    return Array.from({ length: layout.rowStarts[row + 1]! - start }, (_, offset) => start + offset);
  });
}

describe.each(cases)("at width $width, rows of $rowHeight, gap $gap", ({ width, rowHeight, gap, seed }) => {
  const ratios = someRatios(500, seed);
  const layout = layOut(ratios, { width, rowHeight, gap });

  it("has every picture once, in order", () => {
    expect(rowsOf(layout).flat()).toEqual(Array.from({ length: 500 }, (_, index) => index));
  });

  it("fills the width with every row but the last, which does not reach beyond", () => {
    const rows = rowsOf(layout);
    for (const [number, row] of rows.entries()) {
      const end = cellAt(layout, row.at(-1)!);
      const right = end.left + end.width;
      if (number < rows.length - 1) expect(right).toBe(width);
      else expect(right).toBeLessThanOrEqual(width);
      expect(cellAt(layout, row[0]!).left).toBe(0);
    }
  });

  it("keeps exactly a gap between neighbours and between rows", () => {
    for (const row of rowsOf(layout)) {
      for (const [left, right] of row.slice(1).map((index) => [index - 1, index] as const)) {
        const before = cellAt(layout, left);
        expect(cellAt(layout, right).left - before.left - before.width).toBe(gap);
      }
      const next = row.at(-1)! + 1;
      if (next < layout.count) {
        const above = cellAt(layout, row[0]!);
        expect(cellAt(layout, next).top - above.top - above.height).toBe(gap);
      }
    }
  });

  it("shows every picture nearly in its own ratio", () => {
    for (let index = 0; index < layout.count; index += 1) {
      const { width, height } = cellAt(layout, index);
      // A pixel of rounding in each direction.
      expect(Math.abs(width - ratios[index]! * height)).toBeLessThanOrEqual(2 + ratios[index]!);
    }
  });

  it("finds what is visible as a look at every picture does", () => {
    const next = numbers(seed + 100);
    for (let round = 0; round < 40; round += 1) {
      const from = Math.floor(next() * (layout.height + 400)) - 200;
      const to = from + Math.floor(next() * 900) + 1;
      const seen: number[] = [];
      for (let index = 0; index < layout.count; index += 1) {
        const { top, height } = cellAt(layout, index);
        if (top + height + gap > Math.max(0, from) && top < to) seen.push(index);
      }
      const { start, end } = visibleRange(layout, from, to);
      const found = Array.from({ length: end - start }, (_, offset) => start + offset);
      if (from < layout.height) expect(found).toEqual(seen);
      else expect(found).toEqual([]);
    }
  });
});

describe("rows", () => {
  it("are near the wanted height where pictures are of the usual shapes", () => {
    const layout = layOut(new Float64Array(1000).fill(1.5), { width: 1280, rowHeight: 190, gap: 4 });
    for (const row of rowsOf(layout)) {
      expect(cellAt(layout, row[0]!).height).toBeGreaterThan(150);
      expect(cellAt(layout, row[0]!).height).toBeLessThan(240);
    }
  });

  it("leave a lone picture its height instead of stretching it", () => {
    const layout = layOut([1.5], { width: 1280, rowHeight: 200, gap: 4 });
    expect(cellAt(layout, 0)).toEqual({ left: 0, top: 0, width: 300, height: 200 });
    expect(layout.height).toBe(200);
  });

  it("are none without pictures", () => {
    const layout = layOut([], { width: 1280, rowHeight: 200, gap: 4 });
    expect(layout.height).toBe(0);
    expect(visibleRange(layout, 0, 1000)).toEqual({ start: 0, end: 0 });
    expect(moveFrom(layout, 0, "right", 500)).toBe(-1);
  });
});

it("extreme shapes are cut, and impossible ones are square", () => {
  expect(gridRatio(10_000, 10)).toBe(3);
  expect(gridRatio(10, 10_000)).toBe(0.45);
  expect(gridRatio(0, 10)).toBe(1);
  expect(gridRatio(Number.NaN, 10)).toBe(1);
});

describe("keys", () => {
  // Squares of 100: six a row, seventeen rows, the last with four.
  const layout = layOut(new Float64Array(100).fill(1), { width: 600, rowHeight: 100, gap: 0 });

  it("move along and between rows, and stop at the ends", () => {
    expect(rowOf(layout, 99)).toBe(16);
    expect(moveFrom(layout, 0, "left", 300)).toBe(0);
    expect(moveFrom(layout, 5, "right", 300)).toBe(6);
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

it("a hundred thousand pictures are laid out within a frame or two and searched in no time", () => {
  const ratios = someRatios(100_000, 7);
  const started = performance.now();
  const layout = layOut(ratios, { width: 1280, rowHeight: 190, gap: 4 });
  expect(performance.now() - started).toBeLessThan(250);
  const searching = performance.now();
  for (let round = 0; round < 10_000; round += 1) visibleRange(layout, round * 100, round * 100 + 900);
  expect(performance.now() - searching).toBeLessThan(250);
});
