//! What all uploads come to, in words.

import { formats } from "../kit/format";
import type { UploadSummary } from "../state/upload-list";
import { strings } from "../strings";

export function summaryText(summary: UploadSummary): string {
  if (summary.total === 0) return strings.summaryIdle;
  const parts =
    summary.running > 0
      ? [strings.summaryRunning(summary.ended - summary.before, summary.total - summary.before)]
      : [strings.summaryDone(summary.ended - summary.failed - summary.cancelled)];
  if (summary.waiting) parts.push(strings.summaryWaiting);
  if (summary.withoutFile > 0) parts.push(strings.summaryWithoutFile(summary.withoutFile));
  if (summary.paused > 0) parts.push(strings.summaryPaused(summary.paused));
  if (summary.failed > 0) parts.push(strings.summaryFailed(summary.failed));
  return parts.join(", ");
}

/** The same for those who hear it: it changes by tenths, so that a screen reader is not kept busy by every byte. */
export function spokenSummary(summary: UploadSummary): string {
  if (summary.total === 0) return "";
  if (summary.running === 0 || summary.waiting) return summaryText(summary);
  const tenths = formats.percent(Math.floor(summary.fraction * 10) / 10);
  return `${strings.uploads}: ${tenths}${summary.failed > 0 ? `, ${strings.summaryFailed(summary.failed)}` : ""}`;
}
