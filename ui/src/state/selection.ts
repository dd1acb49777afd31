//! Which pictures are selected, by sequence number, and from where a range reaches.
//!
//! Pure functions. Invariant: a selection that has an anchor is about the timeline that the anchor was in.

import type { Timeline } from "../ipc/types";
import { clipped, hasNumber, NONE, withoutRange, withRange, type Ranges } from "./ranges";
import { countIn, nearestIndex } from "./timeline";

export interface Selection {
  readonly ranges: Ranges;
  /** The picture that was selected or deselected last by itself: ranges begin there. */
  readonly anchor: number | null;
}

export const NOTHING: Selection = { ranges: NONE, anchor: null };

export const isSelected = ({ ranges }: Selection, sequence: number): boolean => hasNumber(ranges, sequence);

export function toggle({ ranges }: Selection, sequence: number): Selection {
  return {
    ranges: hasNumber(ranges, sequence)
      ? withoutRange(ranges, sequence, sequence)
      : withRange(ranges, sequence, sequence),
    anchor: sequence,
  };
}

/** Everything from the anchor to picture `index`, beside what is selected already. */
export function extendTo(selection: Selection, timeline: Timeline, index: number): Selection {
  const { sequences } = timeline;
  const target = sequences[index];
  if (target === undefined) return selection;
  const from = selection.anchor === null ? index : nearestIndex(timeline, selection.anchor);
  const low = sequences[Math.max(from, index)]!;
  const high = sequences[Math.min(from, index)]!;
  return { ranges: withRange(selection.ranges, low, high), anchor: selection.anchor ?? target };
}

/** All pictures from `start` to before `end`. */
export function selectStretch(
  selection: Selection,
  { sequences }: Timeline,
  start: number,
  end: number,
): Selection {
  if (end <= start) return selection;
  return {
    ranges: withRange(selection.ranges, sequences[end - 1]!, sequences[start]!),
    anchor: sequences[start]!,
  };
}

export function deselectStretch(
  selection: Selection,
  { sequences }: Timeline,
  start: number,
  end: number,
): Selection {
  if (end <= start) return selection;
  return {
    ranges: withoutRange(selection.ranges, sequences[end - 1]!, sequences[start]!),
    anchor: selection.anchor,
  };
}

/** How many pictures of a stretch are selected: by ranges and not one by one, a day may have very many. */
export function selectedIn({ ranges }: Selection, timeline: Timeline, start: number, end: number): number {
  if (ranges.length === 0 || end <= start) return 0;
  const { sequences } = timeline;
  return countIn(timeline, clipped(ranges, sequences[end - 1]!, sequences[start]!));
}

export const selectedCount = ({ ranges }: Selection, timeline: Timeline): number => countIn(timeline, ranges);
