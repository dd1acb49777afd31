//! The uploads as the panel shows them, and what they come to together.
//!
//! Pure functions. Invariant: an upload keeps its place for as long as it is in the list.

import type { UploadState, UploadView } from "../ipc/types";

const ENDED: ReadonlySet<UploadState> = new Set([
  "published",
  "duplicate",
  "rejected",
  "failed",
  "cancelled",
]);
const FAILED: ReadonlySet<UploadState> = new Set(["rejected", "failed"]);
const RETRIABLE: ReadonlySet<UploadState> = new Set(["failed", "cancelled"]);

export const hasEnded = (upload: UploadView): boolean => ENDED.has(upload.state);
export const hasFailed = (upload: UploadView): boolean => FAILED.has(upload.state);
export const canRetry = (upload: UploadView): boolean => RETRIABLE.has(upload.state);
export const isInGallery = (upload: UploadView): boolean =>
  upload.state === "published" || upload.state === "duplicate";

/** `uploads` with what changed in its place, and what is new at the end. */
export function mergeUploads(
  uploads: readonly UploadView[],
  changed: readonly UploadView[],
): readonly UploadView[] {
  if (changed.length === 0) return uploads;
  const byId = new Map(changed.map((upload) => [upload.id, upload]));
  const merged = uploads.map((upload) => {
    const now = byId.get(upload.id);
    byId.delete(upload.id);
    return now ?? upload;
  });
  merged.push(...byId.values());
  return merged;
}

export function withoutFinished(uploads: readonly UploadView[]): readonly UploadView[] {
  return uploads.filter((upload) => !hasEnded(upload));
}

/** Of the failures that were looked at, those that still are. */
export function stillFailed(seen: ReadonlySet<string>, uploads: readonly UploadView[]): ReadonlySet<string> {
  return new Set(uploads.filter((upload) => hasFailed(upload) && seen.has(upload.id)).map(({ id }) => id));
}

export interface UploadSummary {
  readonly total: number;
  /** Published, duplicate, rejected, failed or cancelled. */
  readonly ended: number;
  readonly failed: number;
  readonly running: number;
  /** Whether all that has not ended waits for the server. */
  readonly waiting: boolean;
  /** From 0 to 1, by bytes where sizes are known and by pictures where not; 1 when nothing runs. */
  readonly fraction: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft: number | null;
}

export function summarise(uploads: readonly UploadView[]): UploadSummary {
  let ended = 0;
  let failed = 0;
  let waiting = 0;
  let weight = 0;
  let done = 0;
  let left = 0;
  let rate = 0;
  for (const upload of uploads) {
    // Even a file of no known size is something to do.
    const size = Math.max(1, upload.size ?? 1);
    weight += size;
    if (hasEnded(upload)) {
      ended += 1;
      done += size;
      if (hasFailed(upload)) failed += 1;
      continue;
    }
    const sent = upload.state === "verifying" ? size : Math.min(size, upload.sent_bytes);
    // What is sent and not yet checked is not done.
    done += sent * 0.98;
    left += size - sent;
    rate += upload.bytes_per_second ?? 0;
    if (upload.state === "waiting") waiting += 1;
  }
  const running = uploads.length - ended;
  return {
    total: uploads.length,
    ended,
    failed,
    running,
    waiting: running > 0 && waiting === running,
    fraction: running === 0 ? 1 : done / weight,
    bytesPerSecond: rate,
    secondsLeft: rate > 0 && left > 0 ? left / rate : null,
  };
}
