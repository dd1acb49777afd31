//! The words that the interface and whatever stands behind it share: those of the desktop app, generated from its Rust,
//! and wider where the web page has codes of its own.

import type * as bindings from "./bindings";

export type {
  AppState,
  FileDrag,
  GalleryChange,
  Image,
  ImagePage,
  ImageQuery,
  IntakeView,
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
