import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { SLIDE_TIME, SlideShow } from "./slide-show";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function aShow(pictures: number) {
  const seen: (number | boolean)[] = [];
  let picture = 1;
  const show = new SlideShow(
    () => {
      if (picture === pictures) return false;
      picture += 1;
      seen.push(picture);
      return true;
    },
    (runs) => seen.push(runs),
  );
  return { show, seen };
}

it("goes on to the last picture and stops there", () => {
  const { show, seen } = aShow(3);
  show.toggle();
  vi.advanceTimersByTime(SLIDE_TIME * 10);
  expect(seen).toEqual([true, 2, 3, false]);
  expect(vi.getTimerCount()).toBe(0);
});

it("a picture that is long in coming is shown for as long as the others", () => {
  const { show, seen } = aShow(9);
  show.toggle();
  vi.advanceTimersByTime(SLIDE_TIME + 3000);
  show.shown();
  vi.advanceTimersByTime(SLIDE_TIME - 1);
  expect(seen).toEqual([true, 2]);
  vi.advanceTimersByTime(1);
  expect(seen).toEqual([true, 2, 3]);
});

it("stops at once, and what is shown afterwards starts nothing", () => {
  const { show, seen } = aShow(9);
  show.toggle();
  show.toggle();
  show.shown();
  vi.advanceTimersByTime(SLIDE_TIME * 3);
  expect(seen).toEqual([true, false]);
});
