import { describe, expect, it } from "vitest";

import type { Timeline } from "../ipc/types";
import { without } from "../state/timeline";
import { anchorAt, anchorInSight, topFor } from "./anchor";
import { sectionsOf } from "./days";
import { layOut, pictureAt, RATIO_UNIT, rowOf, type Layout } from "./layout";

/** Pictures that follow each other by ten minutes; the newest has the sequence `newest`. */
function timelineOf(newest: number, count: number): Timeline {
  return {
    search: "",
    sequences: Uint32Array.from({ length: count }, (_, index) => newest - index),
    created: Uint32Array.from({ length: count }, (_, index) => 1_700_000_000 + (newest - index) * 600),
    ratios: new Uint16Array(count).fill(1.5 * RATIO_UNIT),
  };
}

const laid = ({ ratios, created }: Timeline, width = 1000, rowHeight = 150): Layout =>
  layOut(ratios, sectionsOf(created), { width, rowHeight, gap: 4, heading: 48 });

/** Where a picture's upper edge is in the window. */
const placeOf = (layout: Layout, timeline: Timeline, sequence: number, top: number) =>
  layout.rowTops[rowOf(layout, timeline.sequences.indexOf(sequence))]! - top;

describe("what somebody looks at", () => {
  const before = timelineOf(2000, 1000);
  const layout = laid(before);
  const top = 9000;
  const anchor = anchorInSight(layout, before, top)!;

  it("stays when pictures come in front of it", () => {
    const after = timelineOf(2037, 1037);
    const now = laid(after);
    const newTop = topFor(anchor, now, after)!;
    expect(newTop).toBeGreaterThan(top);
    expect(placeOf(now, after, anchor.sequence, newTop)).toBe(placeOf(layout, before, anchor.sequence, top));
  });

  it("stays when others are deleted, and gives way to its neighbour when it is itself", () => {
    const others = without(before, [{ low: anchor.sequence + 20, high: anchor.sequence + 320 }]);
    const now = laid(others);
    expect(placeOf(now, others, anchor.sequence, topFor(anchor, now, others)!)).toBeCloseTo(
      placeOf(layout, before, anchor.sequence, top),
    );
    const itself = without(before, [{ low: anchor.sequence, high: anchor.sequence }]);
    const then = laid(itself);
    const index = pictureAt(then, topFor(anchor, then, itself)!);
    expect(Math.abs(itself.sequences[index]! - anchor.sequence)).toBeLessThan(8);
  });

  it("is still there when all rows have another height", () => {
    const narrow = laid(before, 520, 110);
    const newTop = topFor(anchor, narrow, before)!;
    const row = rowOf(narrow, before.sequences.indexOf(anchor.sequence));
    const inside = newTop - narrow.rowTops[row]!;
    expect(inside / narrow.rowHeights[row]!).toBeCloseTo(anchor.part);
  });
});

it("the point under the pointer stays under it", () => {
  const timeline = timelineOf(900, 900);
  const layout = laid(timeline);
  const index = pictureAt(layout, 5000 + 333);
  const anchor = anchorAt(layout, timeline, index, 5000, 333);
  const large = laid(timeline, 1000, 320);
  const top = topFor(anchor, large, timeline)!;
  const row = rowOf(large, index);
  expect(large.rowTops[row]! + anchor.part * large.rowHeights[row]! - top).toBeCloseTo(333);
});

it("there is nothing to hold on to without pictures", () => {
  const none = timelineOf(0, 0);
  expect(anchorInSight(laid(none), none, 0)).toBeNull();
  const anchor = { sequence: 5, part: 0, beyond: 0, y: 0 };
  expect(topFor(anchor, laid(none), none)).toBeNull();
});
