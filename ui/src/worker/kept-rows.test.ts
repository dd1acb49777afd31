import { expect, it } from "vitest";

import { KeptRows, wantedBy } from "./kept-rows";

const url = (path: string) => new URL(path, "https://gallery.example");
const list = (...sequences: number[]) => ({
  images: sequences.map((sequence) => ({ id: `p${sequence}`, sequence, file_name: `${sequence}.jpg` })),
});

it("a question is about a range of the feed, or it is another one", () => {
  expect(wantedBy(url("/v1/images?sequences=5-90&q=&limit=500"))).toEqual({ low: 5, high: 90, limit: 500 });
  expect(wantedBy(url("/v1/images?sequences=5-90&limit=999999"))).toEqual({ low: 5, high: 90, limit: 500 });
  expect(wantedBy(url("/v1/images?limit=10"))).toBeNull();
  expect(wantedBy(url("/v1/images?sequences=5-"))).toBeNull();
  expect(wantedBy(url("/v1/images/p5?sequences=5-9"))).toBeNull();
});

it("rows of several answers are one answer to a question that was never asked", () => {
  const rows = new KeptRows();
  rows.add(list(9, 8, 7));
  rows.add(list(4, 5, 6));
  const { images, next_cursor } = rows.answer({ low: 5, high: 8, limit: 500 });
  expect(images.map(({ sequence }) => sequence)).toEqual([8, 7, 6, 5]);
  expect(next_cursor).toBeNull();
  expect(rows.answer({ low: 4, high: 9, limit: 2 }).images).toHaveLength(2);
  expect(rows.answer({ low: 50, high: 90, limit: 2 }).images).toEqual([]);
});

it("the last answer about a picture counts, and one picture is found by its id", () => {
  const rows = new KeptRows();
  rows.add(list(3));
  rows.add({ id: "p3", sequence: 3, file_name: "renamed.jpg" });
  expect(rows.one("p3")).toMatchObject({ file_name: "renamed.jpg" });
  expect(rows.one("p4")).toBeUndefined();
});

it("what is no list of pictures adds nothing", () => {
  const rows = new KeptRows();
  for (const other of [null, 7, "x", {}, { images: [null, {}, { id: 5, sequence: "a" }] }]) rows.add(other);
  expect(rows.answer({ low: 0, high: 1e9, limit: 500 }).images).toEqual([]);
});
