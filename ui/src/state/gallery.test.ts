import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Backend } from "../ipc/backend";
import { BackendError } from "../ipc/backend";
import { aPicture, aTimeline } from "../ipc/testing";
import type { Timeline } from "../ipc/types";
import { Gallery } from "./gallery.svelte";
import { NOTHING, selectStretch, toggle } from "./selection";

/** Answers when it is told to. */
class Answers {
  readonly asked: string[] = [];
  readonly #waiting: { resolve: (timeline: Timeline) => void; reject: (error: Error) => void }[] = [];
  readonly gallery: Gallery;

  constructor() {
    this.gallery = new Gallery({
      timeline: (search: string) => {
        this.asked.push(search);
        return new Promise<Timeline>((resolve, reject) => this.#waiting.push({ resolve, reject }));
      },
      pictures: (timeline: Timeline, start: number, end: number) =>
        Promise.resolve([...timeline.sequences.subarray(start, end)].map((sequence) => aPicture(sequence))),
    } as unknown as Backend);
  }

  async answer(...sequences: number[]): Promise<void> {
    this.#waiting.shift()?.resolve(aTimeline(sequences, this.asked.at(-1)));
    await settled();
  }

  async fail(): Promise<void> {
    this.#waiting.shift()?.reject(new BackendError("offline", "no network"));
    await settled();
  }

  get shown(): number[] {
    return [...this.gallery.timeline.sequences];
  }
}

const settled = async () => {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
};

describe("the timeline", () => {
  it("is asked for once more, however often it changes while an answer is on its way", async () => {
    const it_ = new Answers();
    void it_.gallery.reload();
    for (let change = 0; change < 5; change += 1) void it_.gallery.refresh();
    expect(it_.asked).toHaveLength(1);
    await it_.answer(3, 2, 1);
    expect(it_.asked).toHaveLength(2);
    expect(it_.shown).toEqual([3, 2, 1]);
    await it_.answer(4, 3, 2, 1);
    expect(it_.shown).toEqual([4, 3, 2, 1]);
    expect(it_.asked).toHaveLength(2);
  });

  it("stays on the screen when asking anew fails, and tells why when there is none", async () => {
    const it_ = new Answers();
    void it_.gallery.reload();
    await it_.fail();
    expect(it_.gallery.phase).toBe("failed");
    expect(it_.gallery.error?.message).toBe("no network");
    void it_.gallery.reload();
    await it_.answer(2, 1);
    void it_.gallery.refresh();
    await it_.fail();
    expect(it_.gallery.phase).toBe("ready");
    expect(it_.shown).toEqual([2, 1]);
  });

  it("of a search comes in place of that of another, however late that is answered", async () => {
    const it_ = new Answers();
    void it_.gallery.reload();
    await it_.answer(3, 2, 1);
    it_.gallery.selection = toggle(it_.gallery.selection, 2);
    void it_.gallery.searchFor("lak");
    // Until there is an answer, what is there stays.
    expect(it_.shown).toEqual([3, 2, 1]);
    void it_.gallery.searchFor("lake ");
    await it_.answer(3);
    expect(it_.shown).toEqual([3, 2, 1]);
    await it_.answer(1);
    expect(it_.shown).toEqual([1]);
    expect(it_.asked).toEqual(["", "lak", "lake"]);
    expect(it_.gallery.selectedCount).toBe(0);
  });
});

describe("the same timeline once more", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] }));
  afterEach(() => void vi.useRealTimers());

  it("changes nothing on the screen, and one of the same length does", async () => {
    const it_ = new Answers();
    void it_.gallery.reload();
    await it_.answer(3, 2, 1);
    it_.gallery.hide([2]);
    const shown = it_.gallery.timeline;
    void it_.gallery.refresh();
    await it_.answer(3, 2, 1);
    expect(it_.gallery.timeline).toBe(shown);
    void it_.gallery.refresh();
    await it_.answer(4, 2, 1);
    expect(it_.shown).toEqual([4, 1]);
    // Another gallery may have the same numbers.
    void it_.gallery.reload();
    await it_.answer(4, 2, 1);
    expect(it_.gallery.phase).toBe("ready");
    expect(it_.shown).toEqual([4, 2, 1]);
  });

  it("asks about originals that are on their way at most once in five seconds", async () => {
    const it_ = new Answers();
    const asked = vi.spyOn(it_.gallery.rows, "refreshKept");
    void it_.gallery.reload();
    await it_.answer(3, 2, 1);
    expect(asked).toHaveBeenCalledTimes(1);
    for (let change = 0; change < 20; change += 1) {
      void it_.gallery.refresh();
      await it_.answer(3, 2, 1);
      vi.advanceTimersByTime(500);
    }
    // The last word is not lost.
    expect(asked).toHaveBeenCalledTimes(3);
    vi.advanceTimersByTime(60_000);
    expect(asked.mock.calls.length).toBeLessThanOrEqual(4);
  });
});

describe("what is hidden", () => {
  it("is not shown by a newer answer, is not selected, and comes back when it is undone", async () => {
    const it_ = new Answers();
    void it_.gallery.reload();
    await it_.answer(4, 3, 2, 1);
    it_.gallery.selection = toggle(toggle(it_.gallery.selection, 3), 1);
    it_.gallery.hide([3, 2]);
    expect(it_.shown).toEqual([4, 1]);
    expect(it_.gallery.selectedCount).toBe(1);
    void it_.gallery.refresh();
    await it_.answer(5, 4, 3, 2, 1);
    expect(it_.shown).toEqual([5, 4, 1]);
    it_.gallery.unhide([3]);
    expect(it_.shown).toEqual([5, 4, 3, 1]);
  });
});

it("arrivals are counted from what somebody has seen", async () => {
  const it_ = new Answers();
  void it_.gallery.reload();
  await it_.answer(4, 3);
  it_.gallery.look();
  void it_.gallery.refresh();
  await it_.answer(6, 5, 4, 3);
  expect(it_.gallery.arrivals).toBe(2);
  it_.gallery.look();
  expect(it_.gallery.arrivals).toBe(0);
});

it("what is selected is fetched, newest first, in stretches of 500", async () => {
  const it_ = new Answers();
  void it_.gallery.reload();
  await it_.answer(...Array.from({ length: 2000 }, (_, index) => 2000 - index));
  const { gallery } = it_;
  const told = async () => {
    const stretches: number[][] = [];
    for await (const stretch of gallery.selected()) stretches.push(stretch.map(({ sequence }) => sequence));
    return stretches;
  };
  expect(await told()).toEqual([]);
  for (const sequence of [6, 9, 8]) gallery.selection = toggle(gallery.selection, sequence);
  expect(await told()).toEqual([[9, 8, 6]]);
  gallery.selection = selectStretch(NOTHING, gallery.timeline, 0, 2000);
  gallery.selection = toggle(gallery.selection, 1990);
  const stretches = await told();
  expect(stretches.map(({ length }) => length)).toEqual([500, 500, 500, 499]);
  expect(stretches.flat()).toEqual([...gallery.timeline.sequences].filter((sequence) => sequence !== 1990));
});
