//! Pictures and uploads for tests.

import type { Image, Picture, Timeline, UploadView } from "./types";

export function anImage(id: string, more: Partial<Image> = {}): Image {
  return {
    id,
    file_name: `${id}.jpg`,
    width: 600,
    height: 400,
    content_type: "image/jpeg",
    size: 1000,
    sha256: "0".repeat(64),
    thumbhash: "",
    animated: false,
    taken_at: null,
    created_at: "2026-01-01T00:00:00Z",
    camera: null,
    owner: "someone",
    url: `https://gallery.example/v1/images/${id}/content`,
    display_url: null,
    ...more,
  };
}

export function anUpload(id: string, more: Partial<UploadView> = {}): UploadView {
  return {
    id,
    file_name: `${id}.jpg`,
    state: "queued",
    size: 100,
    sent_bytes: 0,
    bytes_per_second: null,
    image: null,
    error: null,
    position: 0,
    location_removed: false,
    started_anew: false,
    ...more,
  };
}

export function aPicture(sequence: number, more: Partial<Picture> = {}): Picture {
  return { image: anImage(`p${sequence}`), sequence, kept: false, original_here: false, ...more };
}

/** A timeline of these pictures, newest first, ten minutes apart. */
export function aTimeline(sequences: readonly number[], search = ""): Timeline {
  return {
    search,
    sequences: Uint32Array.from(sequences),
    created: Uint32Array.from(sequences, (sequence) => 1_700_000_000 + sequence * 600),
    ratios: new Uint16Array(sequences.length).fill(3072),
  };
}
