//! Finds out what came into and went from the newest end of a gallery by looking at its first pages again.
//!
//! Invariant: nothing is told before the gallery's first page was seen, and nothing is told twice.

import type { GalleryChange, Image, ImagePage, ImageQuery } from "./types";

const PAGE = 50;

/** After so many pages of nothing but new pictures the rest is left to the next reload. */
const MAX_PAGES = 10;

export class NewestWatch {
  readonly #images: (query: ImageQuery) => Promise<ImagePage>;
  #known: readonly string[] | null = null;

  constructor(images: (query: ImageQuery) => Promise<ImagePage>) {
    this.#images = images;
  }

  /** The gallery's first page as it was shown. */
  seen(images: readonly Image[]): void {
    this.#known = images.map((image) => image.id);
  }

  async look(): Promise<GalleryChange> {
    const before = this.#known;
    if (before === null) return { added: [], removed: [] };
    const known = new Set(before);
    const head: Image[] = [];
    let cursor: string | null = null;
    let complete = false;
    for (let pages = 0; pages < MAX_PAGES && !complete; pages += 1) {
      const page: ImagePage = await this.#images({ search: null, cursor, limit: PAGE });
      head.push(...page.images);
      cursor = page.next_cursor ?? null;
      complete = cursor === null || page.images.some((image) => known.has(image.id));
    }
    // Somebody showed another first page meanwhile.
    if (this.#known !== before) return { added: [], removed: [] };

    const now = new Set(head.map((image) => image.id));
    this.#known = head.map((image) => image.id);
    // New pictures come in front; a picture further down that was not known moved up from the next page.
    const firstKnown = head.findIndex((image) => known.has(image.id));
    // Newest first: what was known above the last picture that is still there, and is not there now, is gone.
    const lastKept = before.findLastIndex((id) => now.has(id));
    const reach = cursor === null ? before.length : lastKept + 1;
    return {
      added: firstKnown === -1 ? head : head.slice(0, firstKnown),
      removed: before.slice(0, reach).filter((id) => !now.has(id)),
    };
  }
}
