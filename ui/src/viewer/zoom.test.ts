import { describe, expect, it } from "vitest";

import {
  actualSize,
  enlargement,
  fit,
  FITTED,
  maxZoom,
  needsMoreThan,
  pan,
  settle,
  zoomAt,
  type View,
} from "./zoom";

const stage = { width: 1000, height: 600 };
const photo = { width: 4000, height: 3000 };
const icon = { width: 64, height: 64 };

/** Which point of the picture, as a fraction of it, is under a point of the stage. */
function under(view: View, x: number, y: number): [number, number] {
  const fitted = fit(photo, stage);
  return [(x - view.x) / (fitted.width * view.zoom), (y - view.y) / (fitted.height * view.zoom)];
}

describe("fitting", () => {
  it("shows all of a large picture and enlarges no small one", () => {
    expect(fit(photo, stage)).toEqual({ width: 800, height: 600 });
    expect(fit(icon, stage)).toEqual(icon);
    expect(enlargement(FITTED, photo, stage)).toBeCloseTo(0.2);
  });
});

describe("zooming", () => {
  it("keeps the point under the pointer where it is", () => {
    const first = zoomAt(FITTED, 4, 0, 0, photo, stage);
    const second = zoomAt(first, 1.7, 120, -80, photo, stage);
    const before = under(first, 120, -80);
    const after = under(second, 120, -80);
    expect(after[0]).toBeCloseTo(before[0]);
    expect(after[1]).toBeCloseTo(before[1]);
  });

  it("goes as far as to fill the stage with the smallest picture", () => {
    const tiny = { width: 22, height: 15 };
    const far = zoomAt(FITTED, 1000, 0, 0, tiny, stage);
    expect(enlargement(far, tiny, stage)).toBeCloseTo(40);
    expect(tiny.height * far.zoom).toBeCloseTo(stage.height);
    // Four times a pixel is more than that here.
    const wide = { width: 900, height: 100 };
    expect(enlargement(zoomAt(FITTED, 1000, 0, 0, wide, stage), wide, stage)).toBeCloseTo(4);
  });

  it("goes from fitted to four times a pixel and no further, and back to the middle", () => {
    const far = zoomAt(FITTED, 1000, 0, 0, photo, stage);
    expect(far.zoom).toBe(maxZoom(photo, stage));
    expect(enlargement(far, photo, stage)).toBeCloseTo(4);
    expect(zoomAt(pan(far, 300, 300, photo, stage), 0.0001, 50, 50, photo, stage)).toEqual(FITTED);
  });
});

it("goes to a pixel for a pixel from wherever it is, and no small picture grows by that", () => {
  for (const zoom of [1, 2, 9]) {
    const view = actualSize(zoomAt(FITTED, zoom, 10, 10, photo, stage), photo, stage);
    expect(enlargement(view, photo, stage)).toBeCloseTo(1);
  }
  expect(actualSize(FITTED, icon, stage)).toEqual(FITTED);
});

describe("moving", () => {
  it("never leaves an empty edge", () => {
    const close = zoomAt(FITTED, 2, 0, 0, photo, stage);
    expect(pan(close, 9999, -9999, photo, stage)).toEqual({ zoom: 2, x: 300, y: -300 });
    expect(pan(FITTED, 50, 50, photo, stage)).toEqual(FITTED);
    expect(settle({ zoom: 1.2, x: 400, y: 400 }, photo, stage)).toEqual({
      zoom: 1.2,
      x: 0,
      y: expect.closeTo(60),
    });
  });
});

it("the original is wanted only where the preview has too few pixels", () => {
  expect(needsMoreThan(1280, FITTED, photo, stage, 1)).toBe(false);
  expect(needsMoreThan(1280, { zoom: 2, x: 0, y: 0 }, photo, stage, 1)).toBe(true);
  expect(needsMoreThan(1280, FITTED, photo, stage, 2)).toBe(true);
  expect(needsMoreThan(320, { zoom: 2, x: 0, y: 0 }, icon, stage, 2)).toBe(false);
});
