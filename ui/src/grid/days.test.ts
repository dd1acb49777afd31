import { expect, it } from "vitest";

import { dateOf, localDay, sectionsOf, type Day } from "./days";

/** Days of ten seconds. */
const short = (seconds: number): Day => {
  const number = Math.floor(seconds / 10);
  return { number, from: number * 10, to: number * 10 + 10 };
};

it("pictures of one day are one section, and the calendar is asked once for each", () => {
  let asked = 0;
  const { count, starts, days } = sectionsOf(Uint32Array.of(59, 52, 50, 49, 20, 20, 11), (seconds) => {
    asked += 1;
    return short(seconds);
  });
  expect(count).toBe(4);
  expect([...starts]).toEqual([0, 3, 4, 6, 7]);
  expect([...days]).toEqual([5, 4, 2, 1]);
  expect(asked).toBe(4);
});

it("a clock that was ahead makes no day come twice", () => {
  const { starts, days } = sectionsOf(Uint32Array.of(51, 49, 50, 48, 31), short);
  expect([...days]).toEqual([5, 4, 3]);
  expect([...starts]).toEqual([0, 1, 4, 5]);
});

it("none are no sections", () => {
  const { count, starts } = sectionsOf(new Uint32Array(), short);
  expect(count).toBe(0);
  expect([...starts]).toEqual([0]);
});

it("a day is that of the place, from midnight to midnight, and comes back from its number", () => {
  const noon = new Date(2026, 10, 26, 12).getTime() / 1000;
  const day = localDay(noon);
  expect(day.number).toBe(20261126);
  expect(new Date(day.from * 1000).getHours()).toBe(0);
  expect(localDay(day.from).number).toBe(20261126);
  expect(localDay(day.from - 1).number).toBe(20261125);
  expect(localDay(day.to).number).toBe(20261127);
  expect(dateOf(20261126).getTime() / 1000).toBe(noon);
});
