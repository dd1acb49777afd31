import { expect, it } from "vitest";

import { readTimeline } from "./timeline";

it("a timeline's columns are read as they were written", () => {
  const bytes = new Uint8Array([2, 0, 0, 0, 2, 1, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 4]);
  const timeline = readTimeline(bytes.buffer, " beach ");
  expect(timeline.search).toBe("beach");
  expect([...timeline.sequences]).toEqual([258, 3]);
  expect([...timeline.created]).toEqual([1, 2]);
  expect([...timeline.ratios]).toEqual([2048, 1024]);
  expect(readTimeline(new ArrayBuffer(4), "").sequences).toHaveLength(0);
});

it("what is no timeline is refused", () => {
  for (const length of [0, 3, 5, 14])
    expect(() => readTimeline(new ArrayBuffer(length), "")).toThrow(RangeError);
});
