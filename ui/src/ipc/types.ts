//! The words that the interface and whatever stands behind it share. They mirror `imgn-protocol` and `imgn-core`.

export interface Image {
  id: string;
  file_name: string;
  /** In pixels, as the picture is shown (after its orientation). */
  width: number;
  height: number;
  content_type: string;
  /** Of the original, in bytes. */
  size: number;
  sha256: string;
  /** Base64. */
  thumbhash: string;
  animated: boolean;
  /** RFC 3339, UTC. */
  taken_at: string | null;
  created_at: string;
  camera: string | null;
  owner: string;
  /** The address that can be shared. */
  url: string;
}

export interface ImagePage {
  images: Image[];
  next_cursor: string | null;
}

export interface ImageQuery {
  search: string | null;
  cursor: string | null;
  limit: number;
}

export interface ServerView {
  url: string;
  /** Whether it is the gallery on this computer. */
  local: boolean;
  signed_in: boolean;
  reachable: boolean;
}

export interface AppState {
  version: string;
  server: ServerView | null;
}

export type UploadState =
  | "queued"
  | "hashing"
  | "uploading"
  | "verifying"
  /** Offline; it goes on by itself. */
  | "waiting"
  | "published"
  | "duplicate"
  | "rejected"
  | "failed"
  | "cancelled";

/** The code is for programs, the message for people. */
export interface ViewError {
  code: string;
  message: string;
}

export interface UploadView {
  id: string;
  file_name: string;
  state: UploadState;
  size: number | null;
  sent_bytes: number;
  bytes_per_second: number | null;
  image: Image | null;
  error: ViewError | null;
}

export interface GalleryChange {
  added: Image[];
  removed: string[];
}

export interface FileDrag {
  phase: "enter" | "over" | "leave" | "drop";
  /** How many files, 0 where it is not known. */
  count: number;
}
