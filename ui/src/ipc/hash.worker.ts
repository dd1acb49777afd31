//! Sums files beside the page's own thread. One message in, one out: the sum, or that the file could not be read.

import { hashFile } from "./sha256";

export type HashAnswer = { sha256: string } | { unreadable: true };

self.onmessage = async (event: MessageEvent<Blob>) => {
  let answer: HashAnswer;
  try {
    answer = { sha256: await hashFile(event.data) };
  } catch {
    answer = { unreadable: true };
  }
  self.postMessage(answer);
};
