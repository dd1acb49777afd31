//! A timeline's bytes, as both the app and the server send them, as columns.
//!
//! Invariant: the columns are views of the bytes that came, which are checked to be as long as they say.

import type { Timeline } from "./types";

/** A 32-bit count, then as many 32-bit sequences and times, and 16-bit ratios. Every system this runs on is little-endian. */
export function readTimeline(bytes: ArrayBuffer, search: string): Timeline {
  const count = bytes.byteLength < 4 ? -1 : new DataView(bytes).getUint32(0, true);
  if (bytes.byteLength !== 4 + 10 * count) throw new RangeError("This is not a timeline.");
  return {
    search: search.trim(),
    sequences: new Uint32Array(bytes, 4, count),
    created: new Uint32Array(bytes, 4 + 4 * count, count),
    ratios: new Uint16Array(bytes, 4 + 8 * count, count),
  };
}
