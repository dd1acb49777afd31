//! Sums files in a worker, and where a page may have none, in slices between two frames.

import type { HashAnswer } from "./hash.worker";
import { hashFile } from "./sha256";

/** The SHA-256 of `file`; rejects when it cannot be read, or with the signal's reason. */
export async function hashBesideThePage(file: Blob, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const worker = startWorker();
  if (worker === null) return hashInSlices(file, signal);
  try {
    const answer = await ask(worker, file, signal);
    if (answer === "no worker") return await hashInSlices(file, signal);
    if ("sha256" in answer) return answer.sha256;
    throw new DOMException("The file cannot be read", "NotReadableError");
  } finally {
    worker.terminate();
  }
}

function startWorker(): Worker | null {
  try {
    return new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
  } catch {
    return null;
  }
}

function ask(worker: Worker, file: Blob, signal: AbortSignal): Promise<HashAnswer | "no worker"> {
  return new Promise((resolve, reject) => {
    worker.onmessage = (event: MessageEvent<HashAnswer>) => resolve(event.data);
    // The worker answers its own failures: an error event means that it never came to run.
    worker.onerror = () => resolve("no worker");
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    worker.postMessage(file);
  });
}

function hashInSlices(file: Blob, signal: AbortSignal): Promise<string> {
  return hashFile(file, { signal, breathe: () => new Promise((resolve) => setTimeout(resolve)) });
}
