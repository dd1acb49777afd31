//! What stays where it is when everything around it is laid out anew.
//!
//! Plain numbers. Invariant: the point of the picture that was at a height of the window is at that height again, as far
//! as the grid reaches.

import type { Timeline } from "../ipc/types";
import { nearestIndex } from "../state/timeline";
import { pictureAt, rowOf, type Layout } from "./layout";

export interface Anchor {
  readonly sequence: number;
  /** Which part of its row's height, from 0 to 1. */
  readonly part: number;
  /** From there, in CSS pixels: where the point is above the row or below it. */
  readonly beyond: number;
  /** How far below the window's upper edge. */
  readonly y: number;
}

/** Of the picture at `index`, whose row has a point at `y` below the window's edge, which is at `top` of the grid. */
export function anchorAt(layout: Layout, timeline: Timeline, index: number, top: number, y: number): Anchor {
  const row = rowOf(layout, index);
  const height = layout.rowHeights[row]!;
  const inside = top + y - layout.rowTops[row]!;
  const part = Math.min(1, Math.max(0, inside / height));
  return { sequence: timeline.sequences[index]!, part, beyond: inside - part * height, y };
}

/** Of the first picture in sight; null when there is none. */
export function anchorInSight(layout: Layout, timeline: Timeline, top: number): Anchor | null {
  const index = pictureAt(layout, top);
  return index < 0 ? null : anchorAt(layout, timeline, index, top, 0);
}

/** Where the window's upper edge belongs in another layout; null when that has no picture. */
export function topFor(anchor: Anchor, layout: Layout, timeline: Timeline): number | null {
  const index = nearestIndex(timeline, anchor.sequence);
  if (index < 0) return null;
  const row = rowOf(layout, index);
  return layout.rowTops[row]! + anchor.part * layout.rowHeights[row]! + anchor.beyond - anchor.y;
}
