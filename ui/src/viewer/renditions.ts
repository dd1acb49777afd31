//! A picture in steps: the thumbnail that is there already, the preview, and on demand the original.
//!
//! Each step is fetched and decoded out of sight and shown only when it can be painted at once.

import type { PictureSize } from "../ipc/backend";

/** Resolves when `url` can be painted without a flash; rejects when it cannot be shown. */
export async function decoded(url: string): Promise<void> {
  const image = new Image();
  image.src = url;
  await image.decode();
}

const ORDER: readonly PictureSize[] = [320, 1280, "original"];

export function isFiner(a: PictureSize, b: PictureSize): boolean {
  return ORDER.indexOf(a) > ORDER.indexOf(b);
}
