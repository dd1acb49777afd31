import { expect, it } from "vitest";

import {
  clipped,
  hasNumber,
  NONE,
  rangesOf,
  withoutRange,
  withoutRanges,
  withRange,
  type Ranges,
} from "./ranges";

const told = (ranges: Ranges) => ranges.map(({ low, high }) => `${low}-${high}`).join(" ");

it("ranges that touch become one", () => {
  let ranges = withRange(NONE, 5, 9);
  ranges = withRange(ranges, 20, 30);
  expect(told(ranges)).toBe("5-9 20-30");
  expect(told(withRange(ranges, 10, 12))).toBe("5-12 20-30");
  expect(told(withRange(ranges, 10, 19))).toBe("5-30");
  expect(told(withRange(ranges, 1, 99))).toBe("1-99");
  expect(told(withRange(ranges, 1, 2))).toBe("1-2 5-9 20-30");
});

it("what is taken out may part one", () => {
  const ranges = rangesOf([1, 2, 3, 4, 5, 9, 10]);
  expect(told(ranges)).toBe("1-5 9-10");
  expect(told(withoutRange(ranges, 3, 3))).toBe("1-2 4-5 9-10");
  expect(told(withoutRange(ranges, 5, 9))).toBe("1-4 10-10");
  expect(told(withoutRanges(ranges, ranges))).toBe("");
});

it("does as a set of numbers does, whatever is put in and taken out", () => {
  const set = new Set<number>();
  let ranges = NONE;
  let state = 7;
  const next = (most: number) => (state = (state * 48271) % 2147483647) % most;
  for (let step = 0; step < 400; step += 1) {
    const low = next(60);
    const high = low + next(9);
    const adds = next(2) === 0;
    ranges = adds ? withRange(ranges, low, high) : withoutRange(ranges, low, high);
    for (let number = low; number <= high; number += 1)
      if (adds) set.add(number);
      else set.delete(number);
    for (let number = 0; number < 70; number += 1) expect(hasNumber(ranges, number)).toBe(set.has(number));
    for (const [index, range] of ranges.slice(1).entries()) {
      expect(range.low).toBeGreaterThan(ranges[index]!.high + 1);
    }
  }
  expect(rangesOf([...set].reverse())).toEqual(ranges);
});

it("ranges are cut to where one looks", () => {
  const ranges = rangesOf([1, 2, 3, 7, 8, 9, 20, 30, 31]);
  expect(told(clipped(ranges, 2, 8))).toBe("2-3 7-8");
  expect(told(clipped(ranges, 8, 8))).toBe("8-8");
  expect(told(clipped(ranges, 4, 6))).toBe("");
  expect(told(clipped(ranges, 0, 99))).toBe(told(ranges));
  expect(told(clipped(ranges, 31, 99))).toBe("31-31");
  expect(clipped(NONE, 0, 99)).toEqual([]);
});
