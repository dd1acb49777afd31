import { expect, it } from "vitest";

import { aTimeline } from "../ipc/testing";
import { rangesOf } from "./ranges";
import { countIn, indexOf, isSame, nearestIndex, placeOf, stretchesIn, without } from "./timeline";

const timeline = aTimeline([90, 80, 70, 60, 50, 40]);

it("a picture is found by its sequence, and what is gone by where it was", () => {
  expect(indexOf(timeline, 90)).toBe(0);
  expect(indexOf(timeline, 40)).toBe(5);
  expect(indexOf(timeline, 65)).toBe(-1);
  expect(nearestIndex(timeline, 65)).toBe(3);
  expect(nearestIndex(timeline, 1)).toBe(5);
  expect(nearestIndex(aTimeline([]), 1)).toBe(-1);
  // How many came since.
  expect([95, 90, 70, 1].map((seen) => placeOf(timeline, seen))).toEqual([0, 0, 2, 6]);
});

it("ranges are stretches of pictures, whatever numbers are missing in them", () => {
  const ranges = [
    { low: 45, high: 62 },
    { low: 75, high: 300 },
  ];
  expect(stretchesIn(timeline, ranges)).toEqual([
    { start: 0, end: 2 },
    { start: 3, end: 5 },
  ]);
  expect(countIn(timeline, ranges)).toBe(4);
  expect(countIn(timeline, [{ low: 61, high: 69 }])).toBe(0);
});

it("what is left without some is in order, with its own columns", () => {
  const left = without(timeline, rangesOf([90, 60, 50, 7]));
  expect([...left.sequences]).toEqual([80, 70, 40]);
  expect([...left.created]).toEqual([...aTimeline([80, 70, 40]).created]);
  expect(left.ratios).toHaveLength(3);
  expect(without(timeline, rangesOf([1, 2]))).toBe(timeline);
  expect(without(timeline, [{ low: 0, high: 100 }]).sequences).toHaveLength(0);
});

it("two are the same when they answer the same with the same pictures", () => {
  expect(isSame(timeline, aTimeline([90, 80, 70, 60, 50, 40]))).toBe(true);
  expect(isSame(timeline, aTimeline([90, 80, 70, 60, 50, 30]))).toBe(false);
  expect(isSame(timeline, aTimeline([90, 80, 70, 60, 50]))).toBe(false);
  expect(isSame(timeline, aTimeline([90, 80, 70, 60, 50, 40], "lake"))).toBe(false);
});
