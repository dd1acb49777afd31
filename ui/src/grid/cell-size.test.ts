import { expect, it } from "vitest";

import { cellSize } from "./cell";

it("fills a long picture's cell with more than its thumbnail has", () => {
  const size = (width: number, height: number) => cellSize({ width, height });
  expect([size(4000, 3000), size(3000, 1000), size(300, 20)]).toEqual([320, 320, 320]);
  expect([size(6000, 540), size(200, 5000), size(1280, 300)]).toEqual([1280, 1280, 1280]);
});
