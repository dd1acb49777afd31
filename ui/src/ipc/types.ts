//! The words that the interface and whatever stands behind it share: those of the desktop app, generated from its Rust,
//! and wider where the web page has codes of its own.

import type * as bindings from "./bindings";

export type {
  AppState,
  DeletionView,
  DownloadView,
  FileDrag,
  Image,
  IntakeView,
  MirrorView,
  OfflineView,
  Picture,
  RefusedDeletion,
  ServerView,
  UploadPreferences,
  UploadState,
} from "./bindings";

/** The code is for programs, the message for people. */
export interface ViewError {
  /** Of the desktop app's closed set, or of the page's own. */
  code: string;
  message: string;
}

export type UploadView = Omit<bindings.UploadView, "error"> & { error: ViewError | null };

/** The order of all that the grid shows, newest first, as columns; picture i of each belongs together. */
export interface Timeline {
  /** What it answers, trimmed; "" is everything. */
  readonly search: string;
  /** Place in the gallery's feed: unique, strictly descending; identifies the row. */
  readonly sequences: Uint32Array;
  /** Seconds since 1970 (UTC) when it was published. */
  readonly created: Uint32Array;
  /** Width / height after orientation, times 2048, rounded, from 1 to 65535. */
  readonly ratios: Uint16Array;
}
