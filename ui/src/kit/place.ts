//! Where a menu stands that was asked for at a point: beside it, so that the pointer is at a corner and over no entry. And where
//! a word about something stands.
//!
//! Plain numbers, no document. Invariant: the menu is within the window wherever it is not larger than that.

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** From the window's edges, in CSS pixels. */
export const MARGIN = 8;

/** Between a word about something and that, and between it and the window's edges. */
const GAP = 6;

/** Its upper left corner. It goes down from the point, or up where there is no room; `leftwards` it opens to the left where it can. */
export function placeAt(
  at: { readonly x: number; readonly y: number },
  { width, height }: Size,
  room: Size,
  leftwards: boolean,
): { left: number; top: number } {
  return {
    left: along(at.x, width, room.width, leftwards),
    top: along(at.y, height, room.height, false),
  };
}

function along(at: number, size: number, room: number, backwards: boolean): number {
  const after = at + size <= room - MARGIN;
  const before = at - size >= MARGIN;
  if (backwards ? before : before && !after) return Math.min(at, room - MARGIN) - size;
  if (after) return Math.max(MARGIN, at);
  // On neither side: as near as it goes.
  return Math.max(MARGIN, Math.min(at, room - size - MARGIN));
}

/** Where a word about something stands: below its middle, or above it where there is no room. */
export function placeTip(
  about: { readonly left: number; readonly top: number; readonly width: number; readonly height: number },
  { width, height }: Size,
  room: Size,
): { left: number; top: number } {
  const middle = about.left + (about.width - width) / 2;
  const below = about.top + about.height + GAP;
  const isBelow = below + height <= room.height - GAP;
  return {
    left: Math.round(Math.max(GAP, Math.min(middle, room.width - width - GAP))),
    top: Math.round(isBelow ? below : Math.max(GAP, about.top - height - GAP)),
  };
}
