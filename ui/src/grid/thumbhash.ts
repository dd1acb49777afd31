//! The blurred preview that every picture carries in its own description, painted before anything is fetched.
//!
//! It is painted on a canvas and not given as a `data:` address, so that the page's policy can forbid those.

import { thumbHashToRGBA } from "thumbhash";

/** Paints the preview of a Base64 thumbhash; paints nothing when it is none. */
export function paintThumbhash(canvas: HTMLCanvasElement, base64: string): void {
  const picture = decode(base64);
  const context = canvas.getContext("2d");
  if (context === null) return;
  if (picture === null) {
    context.clearRect(0, 0, canvas.width, canvas.height);
    return;
  }
  canvas.width = picture.width;
  canvas.height = picture.height;
  context.putImageData(picture, 0, 0);
}

function decode(base64: string): ImageData | null {
  try {
    const { w, h, rgba } = thumbHashToRGBA(Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0)));
    return new ImageData(new Uint8ClampedArray(rgba), w, h);
  } catch {
    return null;
  }
}
