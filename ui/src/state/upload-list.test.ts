import { describe, expect, it } from "vitest";

import { anUpload } from "../ipc/testing";
import { mergeUploads, stillFailed, summarise, withoutFinished } from "./upload-list";

describe("merging", () => {
  it("keeps every upload in its place and adds new ones behind", () => {
    const before = [anUpload("a"), anUpload("b"), anUpload("c")];
    const after = mergeUploads(before, [
      anUpload("d"),
      anUpload("b", { state: "uploading", sent_bytes: 40 }),
      anUpload("a", { state: "published" }),
    ]);
    expect(after.map(({ id, state }) => `${id} ${state}`)).toEqual([
      "a published",
      "b uploading",
      "c queued",
      "d queued",
    ]);
    expect(before[1]!.state).toBe("queued");
  });

  it("takes the last word on an upload that is told twice", () => {
    const after = mergeUploads([], [anUpload("a"), anUpload("a", { state: "failed" })]);
    expect(after.map(({ state }) => state)).toEqual(["failed"]);
  });
});

it("clearing keeps what still runs, waiting included", () => {
  const states = [
    "published",
    "waiting",
    "failed",
    "uploading",
    "cancelled",
    "duplicate",
    "rejected",
  ] as const;
  const left = withoutFinished(states.map((state) => anUpload(state, { state })));
  expect(left.map(({ state }) => state)).toEqual(["waiting", "uploading"]);
});

describe("the summary", () => {
  it("counts by bytes and is not complete before everything has ended", () => {
    const summary = summarise([
      anUpload("a", { state: "published", size: 100, sent_bytes: 100 }),
      anUpload("b", { state: "uploading", size: 300, sent_bytes: 100, bytes_per_second: 50 }),
    ]);
    expect(summary).toMatchObject({ total: 2, ended: 1, running: 1, failed: 0, waiting: false });
    expect(summary.fraction).toBeCloseTo(198 / 400);
    expect(summary.secondsLeft).toBe(4);
    const verifying = summarise([anUpload("a", { state: "verifying", size: 100, sent_bytes: 100 })]);
    expect(verifying.fraction).toBeLessThan(1);
  });

  it("tells failures, and that all the rest waits", () => {
    const summary = summarise([
      anUpload("a", { state: "rejected" }),
      anUpload("b", { state: "failed" }),
      anUpload("c", { state: "cancelled" }),
      anUpload("d", { state: "waiting", size: null }),
    ]);
    expect(summary).toMatchObject({ failed: 2, ended: 3, waiting: true, secondsLeft: null });
    expect(summarise([]).fraction).toBe(1);
    expect(summarise([]).waiting).toBe(false);
  });
});

it("a failure that was looked at is forgotten once it is tried again", () => {
  const seen = new Set(["a", "b", "gone"]);
  const now = [
    anUpload("a", { state: "failed" }),
    anUpload("b", { state: "queued" }),
    anUpload("c", { state: "rejected" }),
  ];
  expect([...stillFailed(seen, now)]).toEqual(["a"]);
});
