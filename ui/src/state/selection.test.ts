import { expect, it } from "vitest";

import { aTimeline } from "../ipc/testing";
import {
  deselectStretch,
  extendTo,
  isSelected,
  NOTHING,
  selectedCount,
  selectedIn,
  selectStretch,
  toggle,
  type Selection,
} from "./selection";

const timeline = aTimeline([90, 80, 70, 60, 50, 40, 30]);
const chosen = (selection: Selection) =>
  [...timeline.sequences].filter((sequence) => isSelected(selection, sequence));

it("a picture is selected and deselected by itself", () => {
  const one = toggle(NOTHING, 60);
  expect(chosen(one)).toEqual([60]);
  expect(chosen(toggle(one, 60))).toEqual([]);
  expect(chosen(toggle(one, 90))).toEqual([90, 60]);
});

it("a range reaches from what was selected last, to either side, beside what is selected already", () => {
  const first = toggle(toggle(NOTHING, 90), 60);
  expect(chosen(extendTo(first, timeline, 5))).toEqual([90, 60, 50, 40]);
  expect(chosen(extendTo(first, timeline, 1))).toEqual([90, 80, 70, 60]);
  // Each range begins at the same picture.
  expect(chosen(extendTo(extendTo(first, timeline, 5), timeline, 2))).toEqual([90, 70, 60, 50, 40]);
  expect(chosen(extendTo(NOTHING, timeline, 2))).toEqual([70]);
  expect(extendTo(first, timeline, 99)).toBe(first);
});

it("a range begins beside a picture that is gone", () => {
  const selection = { ranges: [], anchor: 65 };
  expect(chosen(extendTo(selection, timeline, 5))).toEqual([60, 50, 40]);
});

it("all of a million are one range, and what comes later is not among them", () => {
  const many = aTimeline(Array.from({ length: 1_000_000 }, (_, index) => 1_000_000 - index));
  const all = selectStretch(NOTHING, many, 0, 1_000_000);
  expect(all.ranges).toHaveLength(1);
  expect(selectedCount(all, many)).toBe(1_000_000);
  expect(isSelected(all, 1_000_001)).toBe(false);
});

it("a day is selected, told how far, and deselected", () => {
  const day = selectStretch(toggle(NOTHING, 80), timeline, 2, 5);
  expect(chosen(day)).toEqual([80, 70, 60, 50]);
  expect(selectedIn(day, timeline, 2, 5)).toBe(3);
  expect(selectedIn(day, timeline, 4, 7)).toBe(1);
  expect(chosen(deselectStretch(day, timeline, 2, 5))).toEqual([80]);
  expect(selectedCount(deselectStretch(day, timeline, 2, 5), timeline)).toBe(1);
});

it("a day of a million is counted by its ranges, which may reach beyond it", () => {
  const many = aTimeline(Array.from({ length: 1_000_000 }, (_, index) => 1_000_000 - index));
  const all = selectStretch(NOTHING, many, 0, 1_000_000);
  const some = deselectStretch(all, many, 400_000, 400_010);
  // One by one, this would take minutes.
  for (let step = 0; step < 1000; step += 1) expect(selectedIn(some, many, 1000, 900_000)).toBe(898_990);
  expect(selectedIn(some, many, 400_000, 400_010)).toBe(0);
  expect(selectedIn(some, many, 399_999, 400_011)).toBe(2);
  expect(selectedIn(some, many, 5, 5)).toBe(0);
});
