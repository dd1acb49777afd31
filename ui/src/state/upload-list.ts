//! The uploads as the panel shows them, and what they come to together.
//!
//! Pure functions. Invariant: the list is in the order of the queue, and an upload keeps its place unless somebody
//! moves it.

import { sentence } from "../ipc/backend";
import type { IntakeView, UploadState, UploadView } from "../ipc/types";
import { strings } from "../strings";

const ENDED: ReadonlySet<UploadState> = new Set([
  "published",
  "duplicate",
  "rejected",
  "failed",
  "cancelled",
]);
const FAILED: ReadonlySet<UploadState> = new Set(["rejected", "failed"]);
/** What the server is looking at needs nothing more from here. */
const PAUSABLE: ReadonlySet<UploadState> = new Set(["queued", "hashing", "uploading", "waiting"]);
const MOVABLE: ReadonlySet<UploadState> = new Set(["queued", "paused"]);
const RETRIABLE: ReadonlySet<UploadState> = new Set(["failed", "cancelled"]);

export const hasEnded = (upload: UploadView): boolean => ENDED.has(upload.state);
export const hasFailed = (upload: UploadView): boolean => FAILED.has(upload.state);
export const canRetry = (upload: UploadView): boolean => RETRIABLE.has(upload.state);
export const canPause = (upload: UploadView): boolean => PAUSABLE.has(upload.state);
export const canResume = (upload: UploadView): boolean => upload.state === "paused";
export const canMove = (upload: UploadView): boolean => MOVABLE.has(upload.state);
/** Whether the gallery takes it only from who has a token. */
export const wantsToken = (upload: UploadView): boolean =>
  upload.state === "failed" && upload.error?.code === "unauthorized";
/** Whether its file is to come back. */
export const waitsForFile = (upload: UploadView): boolean =>
  upload.state === "waiting" && upload.error?.code === "file_missing";
export const isInGallery = (upload: UploadView): boolean =>
  upload.state === "published" || upload.state === "duplicate";

/** `uploads` with what changed and what is new, each in its place. */
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
  for (const upload of byId.values()) merged.push(upload);
  // Nearly always it is in order.
  if (merged.some((upload, index) => index > 0 && byPlace(merged[index - 1]!, upload) > 0))
    merged.sort(byPlace);
  return merged;
}

/** Ids grow with time; on the page every upload has a place of its own. */
function byPlace(a: UploadView, b: UploadView): number {
  if (a.position !== b.position) return a.position - b.position;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** Without all that has ended, or without `only` one of them. */
export function withoutFinished(uploads: readonly UploadView[], only: string | null): readonly UploadView[] {
  return uploads.filter((upload) => !hasEnded(upload) || (only !== null && upload.id !== only));
}

/** Of the failures that were looked at, those that still are. */
export function stillFailed(seen: ReadonlySet<string>, uploads: readonly UploadView[]): ReadonlySet<string> {
  return new Set(uploads.filter((upload) => hasFailed(upload) && seen.has(upload.id)).map(({ id }) => id));
}

/** What had ended when there was last nothing to do, and still has. Progress is not about that. */
export function endedBefore(
  before: ReadonlySet<string>,
  uploads: readonly UploadView[],
): ReadonlySet<string> {
  const ended = uploads.filter(hasEnded).map(({ id }) => id);
  const isBusy = uploads.some((upload) => !hasEnded(upload) && !waitsForFile(upload));
  return new Set(isBusy ? ended.filter((id) => before.has(id)) : ended);
}

/** What of the files and folders that were named is not on its way; null when that is nothing. */
export function takenInText({
  pictures,
  refused,
  other_files,
  linked_folders,
  unreadable,
  withheld,
}: IntakeView): string | null {
  // Who said so knows.
  if (withheld) return null;
  if (pictures === 0 && refused === 0 && unreadable.length === 0) return strings.nothingTakenIn;
  const skipped = [
    other_files > 0 ? strings.otherFilesSkipped(other_files) : "",
    linked_folders > 0 ? strings.linksSkipped(linked_folders) : "",
  ].filter((text) => text !== "");
  if (skipped.length === 0 && unreadable.length === 0) return null;
  const counted = `${[strings.takenIn(pictures), ...skipped].join(", ")}.`;
  return [counted, ...unreadable.slice(0, 1).map(sentence)].join(" ");
}

export interface UploadSummary {
  readonly total: number;
  /** Published, duplicate, rejected, failed or cancelled. */
  readonly ended: number;
  /** Of these, those before there was something to do. */
  readonly before: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Has not ended, paused ones too. */
  readonly running: number;
  readonly paused: number;
  /** Waits for its file, which was moved or taken away. */
  readonly withoutFile: number;
  /** Whether all that has not ended, is not held back and has its file waits for the server. */
  readonly waiting: boolean;
  /** From 0 to 1 of what there is to do, by bytes where sizes are known and by pictures where not; 1 when nothing runs. */
  readonly fraction: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft: number | null;
}

export function summarise(
  uploads: readonly UploadView[],
  endedBefore: ReadonlySet<string> = new Set(),
): UploadSummary {
  let ended = 0;
  let before = 0;
  let failed = 0;
  let cancelled = 0;
  let waiting = 0;
  let paused = 0;
  let withoutFile = 0;
  let weight = 0;
  let done = 0;
  let left = 0;
  let rate = 0;
  for (const upload of uploads) {
    // It does not keep the rest from being complete.
    if (waitsForFile(upload)) {
      withoutFile += 1;
      continue;
    }
    // Even a file of no known size is something to do.
    const size = Math.max(1, upload.size ?? 1);
    if (hasEnded(upload)) {
      ended += 1;
      if (hasFailed(upload)) failed += 1;
      if (upload.state === "cancelled") cancelled += 1;
      if (endedBefore.has(upload.id)) before += 1;
      else {
        weight += size;
        done += size;
      }
      continue;
    }
    weight += size;
    const sent = upload.state === "verifying" ? size : Math.min(size, upload.sent_bytes);
    // What is sent and not yet checked is not done.
    done += sent * 0.98;
    if (upload.state === "paused") {
      paused += 1;
      continue;
    }
    left += size - sent;
    rate += upload.bytes_per_second ?? 0;
    if (upload.state === "waiting") waiting += 1;
  }
  const running = uploads.length - ended;
  return {
    total: uploads.length,
    ended,
    before,
    failed,
    cancelled,
    running,
    paused,
    withoutFile,
    waiting: waiting > 0 && waiting === running - paused - withoutFile,
    fraction: running === withoutFile ? 1 : done / weight,
    bytesPerSecond: rate,
    secondsLeft: rate > 0 && left > 0 ? left / rate : null,
  };
}
