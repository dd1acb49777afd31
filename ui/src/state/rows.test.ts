import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { aPicture, aTimeline } from "../ipc/testing";
import type { Picture, Timeline } from "../ipc/types";
import { Rows } from "./rows";

const timeline = aTimeline(Array.from({ length: 10_000 }, (_, index) => 10_000 - index));

/** Answers when it is told to, and writes down what it was asked. */
class Source {
  readonly asked: string[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly rows: Rows;
  fails = false;

  constructor() {
    this.rows = new Rows((from: Timeline, start, end) => {
      this.asked.push(`${start}-${end}`);
      return new Promise<(Picture | null)[]>((resolve, reject) => {
        this.#waiting.push(() => {
          if (this.fails) reject(new Error("offline"));
          else resolve([...from.sequences.subarray(start, end)].map((sequence) => aPicture(sequence)));
        });
      });
    });
  }

  async answer(): Promise<void> {
    this.#waiting.shift()?.();
    await new Promise(process.nextTick);
    await new Promise(process.nextTick);
  }
}

describe("what is in sight", () => {
  it("is asked for once, in pages, two at a time", async () => {
    const source = new Source();
    source.rows.want(timeline, 0, 300);
    expect(source.asked).toEqual(["0-120", "120-240"]);
    source.rows.want(timeline, 0, 300);
    expect(source.asked).toHaveLength(2);
    await source.answer();
    expect(source.asked).toEqual(["0-120", "120-240", "240-300"]);
    expect(source.rows.get(10_000)?.image.id).toBe("p10000");
    expect(source.rows.get(1)).toBeUndefined();
    await source.answer();
    await source.answer();
    source.rows.want(timeline, 0, 300);
    expect(source.asked).toHaveLength(3);
  });

  it("is forgotten before it is asked for when it has gone by", async () => {
    const source = new Source();
    for (let start = 0; start < 9000; start += 500) source.rows.want(timeline, start, start + 100);
    expect(source.asked).toEqual(["0-100", "500-600"]);
    await source.answer();
    // Of all that went by meanwhile, only where one is now.
    expect(source.asked).toEqual(["0-100", "500-600", "8500-8600"]);
  });

  it("comes with a picture's place filled by nothing when that is gone", async () => {
    const rows = new Rows(() => Promise.resolve([aPicture(10_000), null]));
    rows.want(timeline, 0, 2);
    await vi.waitFor(() => expect(rows.get(10_000)).toBeDefined());
    expect(rows.get(9999)).toBeNull();
    expect(rows.has(timeline, 0, 2)).toBe(true);
  });
});

it("what scrolled by long ago is let go of, what is in sight is not", async () => {
  const source = new Source();
  for (let start = 0; start < 6000; start += 120) {
    source.rows.want(timeline, start, start + 120);
    await source.answer();
  }
  const held = [...timeline.sequences].filter((sequence) => source.rows.get(sequence) !== undefined);
  expect(held.length).toBe(3000);
  expect(source.rows.has(timeline, 5880, 6000)).toBe(true);
  expect(source.rows.get(10_000)).toBeUndefined();
});

describe("a question that failed", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  it("is asked again after a while, and not in a hurry", async () => {
    const source = new Source();
    source.fails = true;
    source.rows.want(timeline, 0, 10);
    await source.answer();
    source.rows.want(timeline, 0, 10);
    expect(source.asked).toHaveLength(1);
    source.fails = false;
    vi.advanceTimersByTime(2000);
    expect(source.asked).toHaveLength(2);
    await source.answer();
    expect(source.rows.has(timeline, 0, 10)).toBe(true);
  });
});

it("another gallery's answers do not come into this one's", async () => {
  const source = new Source();
  source.rows.want(timeline, 0, 10);
  source.rows.clear();
  await source.answer();
  expect(source.rows.get(10_000)).toBeUndefined();
  source.rows.want(timeline, 0, 10);
  expect(source.asked).toHaveLength(2);
});

it("all of a long stretch is asked for in parts that a server takes", async () => {
  const parts: number[] = [];
  const rows = new Rows((from, start, end) => {
    parts.push(end - start);
    return Promise.resolve([...from.sequences.subarray(start, end)].map((sequence) => aPicture(sequence)));
  });
  expect(await rows.all(timeline, 100, 1300)).toHaveLength(1200);
  expect(parts).toEqual([250, 250, 250, 250, 200]);
  expect(await rows.at(timeline, 10_000)).toBeNull();
});

it("an original that is on its way is asked about anew, one that is here is not", async () => {
  let kept = { kept: true, original_here: false };
  const rows = new Rows((from, start, end) =>
    Promise.resolve(
      [...from.sequences.subarray(start, end)].map((sequence) =>
        aPicture(sequence, sequence === 10_000 ? kept : {}),
      ),
    ),
  );
  rows.want(timeline, 0, 2);
  await vi.waitFor(() => expect(rows.get(10_000)?.kept).toBe(true));
  const other = rows.get(9999);
  kept = { kept: true, original_here: true };
  rows.refreshKept();
  await vi.waitFor(() => expect(rows.get(10_000)?.original_here).toBe(true));
  expect(rows.get(9999)).toBe(other);
});

it("what others keep is asked about for what is in sight, which stays until the answer, and for the rest when it comes", async () => {
  let kept = {};
  const asked: [number, number][] = [];
  const rows = new Rows((from, start, end) => {
    asked.push([start, end]);
    return Promise.resolve(
      [...from.sequences.subarray(start, end)].map((sequence) => aPicture(sequence, kept)),
    );
  });
  rows.want(timeline, 0, 4);
  await vi.waitFor(() => expect(rows.get(9997)).toBeDefined());
  rows.want(timeline, 2, 6);
  await vi.waitFor(() => expect(rows.get(9995)).toBeDefined());
  kept = { kept: true, original_here: true };
  asked.length = 0;
  rows.refreshKept(true);
  expect(rows.get(9998)?.kept).toBe(false);
  await vi.waitFor(() => expect(rows.get(9995)?.kept).toBe(true));
  expect(asked).toEqual([[2, 6]]);
  expect(rows.get(10_000)?.kept).toBe(false);
  rows.want(timeline, 0, 4);
  await vi.waitFor(() => expect(rows.get(10_000)?.kept).toBe(true));
  expect(asked).toEqual([
    [2, 6],
    [0, 2],
  ]);
});
