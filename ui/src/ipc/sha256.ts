//! SHA-256 of a file that is read piece by piece, so that neither memory nor the page's responsiveness depends on its
//! size. The browser's own `crypto.subtle` takes only whole buffers, and nothing at all on plain `http://`.

import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";

/** How much is read at once. */
const PIECE = 1 << 20;

/** How much is summed between two breaths of whoever shares the thread. */
const SLICE = 1 << 17;

export interface HashOptions {
  onProgress?(done: number): void;
  signal?: AbortSignal;
  /** Gives the thread to others for a moment. */
  breathe?(): Promise<void>;
}

/** The SHA-256 of `file` in lower-case hexadecimal. Rejects with what reading rejects with. */
export async function hashFile(file: Blob, options: HashOptions = {}): Promise<string> {
  const hash = sha256.create();
  for (let offset = 0; offset < file.size; offset += PIECE) {
    const piece = new Uint8Array(await file.slice(offset, offset + PIECE).arrayBuffer());
    for (let start = 0; start < piece.length; start += SLICE) {
      options.signal?.throwIfAborted();
      hash.update(piece.subarray(start, start + SLICE));
      await options.breathe?.();
    }
    options.onProgress?.(offset + piece.length);
  }
  return bytesToHex(hash.digest());
}
