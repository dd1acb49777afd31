import { describe, expect, it } from "vitest";

import { anUpload } from "../ipc/testing";
import {
  canMove,
  canPause,
  canResume,
  endedBefore,
  mergeUploads,
  stillFailed,
  summarise,
  takenInText,
  withoutFinished,
} from "./upload-list";

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

describe("the order of the queue", () => {
  const before = ["a", "b", "c"].map((id) => anUpload(id));

  it("is what decides where a moved upload and a new one stand", () => {
    const moved = mergeUploads(before, [anUpload("c", { position: -1 }), anUpload("d", { position: -2 })]);
    expect(moved.map(({ id }) => id)).toEqual(["d", "c", "a", "b"]);
  });

  it("stays with ten thousand, however often one of them changes", () => {
    const many = Array.from({ length: 10_000 }, (_, index) => anUpload(String(index).padStart(5, "0")));
    let list = mergeUploads([], many);
    for (let sent = 1; sent <= 100; sent += 1) {
      list = mergeUploads(list, [anUpload("05000", { state: "uploading", sent_bytes: sent })]);
    }
    expect(list).toHaveLength(10_000);
    expect(list[5000]).toMatchObject({ id: "05000", sent_bytes: 100 });
    expect(list[5001]).toBe(many[5001]);
  });
});

it("only what can still be held back offers it, and only what is held back goes on", () => {
  const offers = (
    ["queued", "uploading", "waiting", "verifying", "paused", "published", "failed"] as const
  ).map((state) => {
    const upload = anUpload("a", { state });
    return `${state} ${[canPause(upload), canResume(upload), canMove(upload)].map(Number).join("")}`;
  });
  expect(offers).toEqual([
    "queued 101",
    "uploading 100",
    "waiting 100",
    "verifying 000",
    "paused 011",
    "published 000",
    "failed 000",
  ]);
});

it("what of a folder was left alone is told, and nothing when that is nothing", () => {
  const all = {
    pictures: 12,
    refused: 0,
    other_files: 0,
    linked_folders: 0,
    unreadable: [],
    withheld: false,
  };
  expect(takenInText(all)).toBeNull();
  expect(takenInText({ ...all, pictures: 0, other_files: 3 })).toBe(
    "There are no pictures in it; nothing is uploaded.",
  );
  // Somebody was asked and said no.
  expect(takenInText({ ...all, pictures: 0, withheld: true })).toBeNull();
  // Its row says why.
  expect(takenInText({ ...all, pictures: 0, refused: 1 })).toBeNull();
  expect(takenInText({ ...all, other_files: 3 })).toBe("12 pictures, 3 other files skipped.");
  expect(takenInText({ ...all, pictures: 1, unreadable: ["the folder /a cannot be read (no)"] })).toBe(
    "1 picture. The folder /a cannot be read (no).",
  );
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
  const uploads = states.map((state) => anUpload(state, { state }));
  const left = (only: string | null) => withoutFinished(uploads, only).map(({ state }) => state);
  expect(left(null)).toEqual(["waiting", "uploading"]);
  expect(left("failed")).toEqual(states.filter((state) => state !== "failed"));
  expect(left("waiting")).toEqual(states);
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
    expect(summary).toMatchObject({ failed: 2, cancelled: 1, ended: 3, waiting: true, secondsLeft: null });
    expect(summarise([]).fraction).toBe(1);
    expect(summarise([]).waiting).toBe(false);
  });

  it("is of what there is to do, and not of what had ended before", () => {
    const old = anUpload("a", { state: "published", size: 1000, sent_bytes: 1000 });
    const sending = anUpload("b", { state: "uploading", size: 100, sent_bytes: 0 });
    const lost = anUpload("c", { state: "waiting", error: { code: "file_missing", message: "" } });
    let before = endedBefore(new Set(), [old, lost]);
    expect([...before]).toEqual(["a"]);
    before = endedBefore(before, [old, lost, sending]);
    expect(summarise([old, sending], before)).toMatchObject({ total: 2, ended: 1, before: 1, fraction: 0 });
    const sent = anUpload("b", { state: "published", size: 100, sent_bytes: 100 });
    const next = anUpload("d", { state: "queued", size: 100 });
    // It goes on without a pause.
    before = endedBefore(before, [old, sent, next]);
    expect(summarise([old, sent, next], before)).toMatchObject({ before: 1, ended: 2, fraction: 0.5 });
    // What is tried again is to be done again.
    const again = anUpload("a", { state: "uploading", size: 1000, sent_bytes: 0 });
    expect([...endedBefore(before, [again, sent])]).toEqual([]);
  });

  it("does not take what waits for its file for what waits for the server", () => {
    const lost = anUpload("a", { state: "waiting", size: 500, error: { code: "file_missing", message: "" } });
    const done = anUpload("b", { state: "published", size: 100, sent_bytes: 100 });
    expect(summarise([lost, done])).toMatchObject({
      running: 1,
      withoutFile: 1,
      waiting: false,
      fraction: 1,
    });
    const sending = anUpload("c", { state: "uploading", size: 100, sent_bytes: 0 });
    expect(summarise([lost, done, sending]).fraction).toBeCloseTo(0.5);
  });
});

it("what is held back is no reason to wait, and has no time left", () => {
  const paused = anUpload("a", { state: "paused", size: 900 });
  const sending = anUpload("b", { state: "uploading", size: 300, sent_bytes: 100, bytes_per_second: 50 });
  expect(summarise([paused, sending])).toMatchObject({
    running: 2,
    paused: 1,
    waiting: false,
    secondsLeft: 4,
  });
  expect(summarise([paused])).toMatchObject({ running: 1, paused: 1, waiting: false, secondsLeft: null });
  expect(summarise([paused, anUpload("b", { state: "waiting" })]).waiting).toBe(true);
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
