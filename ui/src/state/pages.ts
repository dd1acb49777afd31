//! The list of pictures as it is known so far: pages are added at its end, arrivals at its beginning.
//!
//! Pure functions. Invariant: no id stands twice in a list, and lists are never changed in place.

import type { Image } from "../ipc/types";

/** `images` and behind them those of `page` that are not there yet. */
export function appendPage(images: readonly Image[], page: readonly Image[]): readonly Image[] {
  const fresh = unknownOf(images, page);
  return fresh.length === 0 ? images : [...images, ...fresh];
}

/** `added` that are not there yet, newest first, and behind them `images`. */
export function prependArrivals(images: readonly Image[], added: readonly Image[]): readonly Image[] {
  const fresh = [...unknownOf(images, added)].sort(newestFirst);
  return fresh.length === 0 ? images : [...fresh, ...images];
}

export function withoutIds(images: readonly Image[], ids: Iterable<string>): readonly Image[] {
  const gone = new Set(ids);
  const left = images.filter((image) => !gone.has(image.id));
  return left.length === images.length ? images : left;
}

/** Whether a picture that arrives belongs into what a search shows. */
export function matches(image: Image, search: string): boolean {
  return image.file_name.toLocaleLowerCase().includes(search.trim().toLocaleLowerCase());
}

function unknownOf(images: readonly Image[], candidates: readonly Image[]): readonly Image[] {
  const known = new Set(images.map((image) => image.id));
  return candidates.filter((image) => {
    if (known.has(image.id)) return false;
    known.add(image.id);
    return true;
  });
}

function newestFirst(a: Image, b: Image): number {
  // RFC 3339 in UTC sorts by time only where fractions are equally long.
  const byTime = Date.parse(b.created_at) - Date.parse(a.created_at);
  if (byTime !== 0) return byTime;
  return a.id < b.id ? 1 : a.id > b.id ? -1 : 0;
}
