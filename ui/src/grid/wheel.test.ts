import { expect, it } from "vitest";

import { pixelsOf, WheelSteps } from "./wheel";

it("lines and pages are told in pixels", () => {
  expect(pixelsOf({ deltaY: 100, deltaMode: 0 }, 600)).toBe(100);
  expect(pixelsOf({ deltaY: -3, deltaMode: 1 }, 600)).toBe(-99);
  expect(pixelsOf({ deltaY: 1, deltaMode: 2 }, 600)).toBe(600);
});

it("a notch is a step, and many small turns are one", () => {
  const steps = new WheelSteps();
  expect([steps.turn(100), steps.turn(-100)]).toEqual([-1, 1]);
  expect([30, 30, 30, 30].map((pixels) => steps.turn(pixels))).toEqual([0, 0, -1, 0]);
});
