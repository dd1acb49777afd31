//! A picture in steps: the thumbnail that is there already, the preview, and on demand the original, or what the server
//! made in its place where no web view shows it.
//!
//! Each step is fetched and decoded out of sight and shown only when it can be painted at once.

import type { PictureSize } from "../ipc/backend";
import type { Image } from "../ipc/types";

/** Resolves when `url` can be painted without a flash; rejects when it cannot be shown. */
export async function decoded(url: string): Promise<void> {
  const image = new Image();
  image.src = url;
  await image.decode();
}

const ORDER: readonly PictureSize[] = [320, 1280, 2560, "original"];

export function isFiner(a: PictureSize, b: PictureSize): boolean {
  return ORDER.indexOf(a) > ORDER.indexOf(b);
}

/** The last step. An older server does not say whether it made something, and took nothing that needs it. */
export function finest(image: Pick<Image, "display_url">): PictureSize {
  return image.display_url == null ? "original" : 2560;
}

/** Whether it is to be shown moving: what stands in for an original does not. */
export function canMove(image: Pick<Image, "animated" | "display_url">): boolean {
  return image.animated && finest(image) === "original";
}
