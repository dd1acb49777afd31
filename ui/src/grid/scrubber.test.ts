import { expect, it } from "vitest";

import { layOut, RATIO_UNIT } from "./layout";
import { marksOf, monthAt, monthFrom, monthsOf } from "./scrubber";

const days = [
  20261126, 20261103, 20261030, 20260102, 20251224, 20250601, 20250101, 20230815, 20230101, 20220505,
];
const sections = {
  count: days.length,
  starts: Int32Array.from({ length: days.length + 1 }, (_, index) => index * 10),
  days: Int32Array.from(days),
};
const layout = layOut(new Uint16Array(days.length * 10).fill(RATIO_UNIT), sections, {
  width: 500,
  rowHeight: 100,
  gap: 0,
  heading: 50,
});
const months = monthsOf(sections);

it("months are those that there are pictures of", () => {
  expect([...months.numbers]).toEqual([
    202611, 202610, 202601, 202512, 202506, 202501, 202308, 202301, 202205,
  ]);
  expect(months.sections[1]).toBe(2);
});

it("a place is in the month whose heading is at it or above it", () => {
  expect(monthAt(layout, months, 0)).toBe(0);
  expect(monthAt(layout, months, layout.sectionTops[2]! - 1)).toBe(0);
  expect(monthAt(layout, months, layout.sectionTops[2]!)).toBe(1);
  expect(monthAt(layout, months, layout.height)).toBe(8);
});

it("years are written where they begin, and only where they have room", () => {
  const years = (track: number) =>
    marksOf(layout, months, layout.height - 300, track).flatMap(({ year }) => (year === null ? [] : [year]));
  expect(years(800)).toEqual([2026, 2025, 2023]);
  expect(years(40)).toEqual([2026]);
  for (const track of [60, 200, 800]) {
    const marks = marksOf(layout, months, layout.height - 300, track);
    for (const { at } of marks) {
      expect(at).toBeGreaterThanOrEqual(0);
      expect(at).toBeLessThanOrEqual(track);
    }
    const years_ = marks.filter(({ year }) => year !== null).map(({ at }) => at);
    for (const [index, at] of years_.slice(1).entries()) expect(at - years_[index]!).toBeGreaterThan(25);
  }
});

it("keys lead by a month and by a year, and stop at the ends", () => {
  expect(monthFrom(months, 0, "older")).toBe(1);
  expect(monthFrom(months, 0, "newer")).toBe(0);
  expect(monthFrom(months, 8, "older")).toBe(8);
  expect(monthFrom(months, 3, "newest")).toBe(0);
  expect(monthFrom(months, 3, "oldest")).toBe(8);
  // From December 2025 a year back is nothing newer than December 2024: August 2023.
  expect(monthFrom(months, 3, "olderYear")).toBe(6);
  expect(monthFrom(months, 8, "olderYear")).toBe(8);
  expect(monthFrom(months, 5, "newerYear")).toBe(2);
  expect(monthFrom(months, 1, "newerYear")).toBe(0);
});
