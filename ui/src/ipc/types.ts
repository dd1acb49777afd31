//! The words that the interface and whatever stands behind it share: those of the desktop app, generated from its Rust,
//! and wider where the web page has codes of its own.

import type * as bindings from "./bindings";

export type {
  Question,
  DesktopPreferences,
  Finding,
  GalleryView,
  GeneralPreferences,
  Subject,
  Verdict,
  Wanted,
  Exposure,
  FileDrag,
  IntakeView,
  LinkPreferences,
  Location,
  UploadPreferences,
  UploadState,
} from "./bindings";

/** The code is for programs, the message for people. */
export interface ViewError {
  /** Of the desktop app's closed set, or of the page's own. */
  code: string;
  message: string;
}

/** A picture in the gallery. */
export type Image = bindings.Image;

export type UploadView = Omit<bindings.UploadView, "error" | "image"> & {
  error: ViewError | null;
  image: Image | null;
};

/** How far what is shown is what the server has. */
export interface MirrorView {
  /** `filling`: the list is being fetched for the first time. */
  phase: "filling" | "live" | "offline" | "failing";
  /** Pictures in the list so far. */
  known: number;
  /** How many there are to be; null when that is not known. */
  total: number | null;
  /** When it was last known to be what the server has, RFC 3339. */
  checked_at: string | null;
  /** Deletions that wait for the server. */
  pending_deletions: number;
}

export type ServerView = Omit<bindings.ServerView, "token_trouble"> & {
  mirror: MirrorView;
  /** Why the keyring gives no token although there is one. */
  token_trouble: ViewError | null;
};

/** One thing that the doctor looked at. */
export type Check = Pick<bindings.Check, "subject" | "verdict" | "finding" | "value">;

/** A picture that was uploaded from here. */
export type HistoryEntry = Omit<bindings.HistoryEntry, "image"> & { image: Image };

export type AppState = Omit<bindings.AppState, "server"> & { server: ServerView | null };

/** The order of all that the grid shows, newest first, as columns; picture i of each belongs together. */
export interface Timeline {
  /** What it answers, trimmed; "" is everything. */
  readonly search: string;
  /** Places in the gallery's feed: unique, strictly descending; each identifies its row. */
  readonly sequences: Uint32Array;
  /** Seconds since 1970 (UTC) when each was published. */
  readonly created: Uint32Array;
  /** Width over height as it is shown, times 2048, from 1 to 65535. */
  readonly ratios: Uint16Array;
}

/** A picture of the timeline. */
export interface Picture {
  image: Image;
  sequence: number;
  /** Whether its original is asked to be on this computer. */
  kept: boolean;
  /** And whether it is. */
  original_here: boolean;
}

export interface DeletionView {
  /** Ids that are gone. */
  deleted: string[];
  /** Ids that will be as soon as the server can be reached. */
  queued: string[];
  failed: { id: string; error: ViewError }[];
}

/** A deletion that was queued, and that the server refused. */
export interface DeletionFailure {
  file_name: string;
  error: ViewError;
}

export interface DownloadView {
  /** The file of one, the folder of several; null when the dialog was closed, and where the browser decides. */
  path: string | null;
  /** How many are there. */
  saved: number;
  /** Of several, why others are not. */
  failed: ViewError[];
}

/** What is kept on this computer. */
export interface OfflineView {
  /** Originals that are to be here. */
  kept: number;
  /** Those of them that are. */
  here: number;
  /** What they take. */
  bytes: number;
  /** Whether all originals are kept. */
  all: boolean;
  cache_bytes: number;
  cache_limit_bytes: number;
}
