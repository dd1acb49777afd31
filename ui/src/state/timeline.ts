//! Questions to a timeline: where a picture stands in it, what came in front, what is left without some.
//!
//! Pure functions over its columns. Invariant: a timeline is never changed in place.

import type { Timeline } from "../ipc/types";
import type { Ranges } from "./ranges";

export const EMPTY: Timeline = {
  search: "",
  sequences: new Uint32Array(),
  created: new Uint32Array(),
  ratios: new Uint16Array(),
};

/** Whether both have the same pictures: what has a sequence number never becomes another picture. */
export function isSame(one: Timeline, other: Timeline): boolean {
  if (one.search !== other.search || one.sequences.length !== other.sequences.length) return false;
  return one.sequences.every((sequence, index) => sequence === other.sequences[index]);
}

/** How many pictures come before the place that `sequence` has, or would have. */
export function placeOf({ sequences }: Timeline, sequence: number): number {
  let low = 0;
  let high = sequences.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sequences[middle]! > sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where the picture stands; -1 when it is not there. */
export function indexOf(timeline: Timeline, sequence: number): number {
  const place = placeOf(timeline, sequence);
  return timeline.sequences[place] === sequence ? place : -1;
}

/** Its place, or the nearest one when it is gone; -1 when there is none at all. */
export function nearestIndex(timeline: Timeline, sequence: number): number {
  return Math.min(placeOf(timeline, sequence), timeline.sequences.length - 1);
}

/** The stretches of pictures that are in `ranges`, newest first. */
export function stretchesIn(timeline: Timeline, ranges: Ranges): { start: number; end: number }[] {
  return ranges
    .map(({ low, high }) => ({ start: placeOf(timeline, high), end: placeOf(timeline, low - 1) }))
    .filter(({ start, end }) => end > start)
    .reverse();
}

/** How many pictures are in `ranges`. */
export function countIn(timeline: Timeline, ranges: Ranges): number {
  return stretchesIn(timeline, ranges).reduce((sum, { start, end }) => sum + end - start, 0);
}

/** The timeline without the pictures that are in `ranges`; itself when it has none of them. */
export function without(timeline: Timeline, ranges: Ranges): Timeline {
  const gone = stretchesIn(timeline, ranges);
  if (gone.length === 0) return timeline;
  const count = timeline.sequences.length - gone.reduce((sum, { start, end }) => sum + end - start, 0);
  const sequences = new Uint32Array(count);
  const created = new Uint32Array(count);
  const ratios = new Uint16Array(count);
  let from = 0;
  let to = 0;
  for (const { start, end } of [...gone, { start: timeline.sequences.length, end: 0 }]) {
    sequences.set(timeline.sequences.subarray(from, start), to);
    created.set(timeline.created.subarray(from, start), to);
    ratios.set(timeline.ratios.subarray(from, start), to);
    to += start - from;
    from = end;
  }
  return { search: timeline.search, sequences, created, ratios };
}
