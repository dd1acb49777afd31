//! What the made-up gallery has of the app around it: other galleries, the doctor, the history, and a question.

import { madeUpImage } from "./fake-pictures";
import type { Question, Check, GalleryView, HistoryEntry, ServerView } from "./types";
import { uuidV7 } from "./uuid";

export const madeUpServer = (url: string, signed_in: boolean): Omit<ServerView, "mirror"> => ({
  url,
  name: "",
  local: false,
  signed_in,
  token_for_now: false,
  token_trouble: null,
  reachable: true,
});

export const madeUpGalleries = (current: string | undefined): GalleryView[] =>
  [
    { url: "https://gallery.example.org", name: "", local: false, signed_in: true },
    { url: "http://127.0.0.1:41234", name: "", local: true, signed_in: true },
    {
      url: "https://pictures.some-society-with-a-long-name.example/gallery/",
      name: "The photographic society",
      local: false,
      signed_in: false,
    },
  ].map((gallery) => ({ ...gallery, is_current: gallery.url === current }));

export const madeUpChecks = (): Check[] => [
  { subject: "server", verdict: "good", finding: "server_answers", value: "https://gallery.example.org/" },
  { subject: "clock", verdict: "bad", finding: "clock_ahead", value: "340" },
  { subject: "keyring", verdict: "bad", finding: "keyring_locked", value: null },
  { subject: "clipboard", verdict: "good", finding: "clipboard_readable", value: null },
  { subject: "tray", verdict: "warning", finding: "tray_missing", value: null },
  { subject: "disk", verdict: "good", finding: "disk_fine", value: "73400000000" },
];

export function madeUpEntry(index: number): HistoryEntry {
  const image = madeUpImage(index * 3);
  return {
    upload: uuidV7(),
    image,
    uploaded_at: image.created_at,
    gallery: index % 7 === 3 ? "https://pictures.example/" : "https://gallery.example.org/",
    is_current: index % 7 !== 3,
    is_gone: index % 11 === 5,
  };
}

export const madeUpQuestion = (): Question => ({
  id: 1,
  server: "https://gallery.example.org/",
  pictures: 31,
  bytes: 131_000_000,
  files: Array.from({ length: 24 }, (_, index) => ({
    name: madeUpImage(index).file_name,
    size: madeUpImage(index).size,
    has_location: index % 5 === 0,
  })),
  with_location: 5,
  all_looked_through: true,
  keeps_location: false,
  always: false,
});
