//! The pictures that the grid shows: pages as one scrolls, arrivals as they come, a search over all.
//!
//! Invariant: an answer to a question that is no longer asked (another search, another server) changes nothing.

import { asBackendError, type Backend } from "../ipc/backend";
import type { GalleryChange, Image, ViewError } from "../ipc/types";
import { strings } from "../strings";
import { appendPage, matches, prependArrivals, withoutIds } from "./pages";

const PAGE = 200;

export type GalleryPhase = "loading" | "ready" | "failed";

export class Gallery {
  images = $state.raw<readonly Image[]>([]);
  phase = $state<GalleryPhase>("loading");
  /** Why there is nothing to show. */
  error = $state<ViewError | null>(null);
  /** Whether the next page did not come. */
  moreFailed = $state(false);
  /** Whether all pages are here. */
  complete = $state(false);
  search = $state("");
  /** Arrivals that are held back so that nothing moves under somebody's eyes. */
  held = $state.raw<readonly Image[]>([]);

  /** Whether arrivals are to be held back: somebody has scrolled away from the newest. */
  holding = false;

  readonly #backend: Backend;
  #cursor: string | null = null;
  #question = 0;
  #loading = false;
  /** What changed while the first page was on its way, which may or may not know of it. */
  #meanwhile: GalleryChange[] = [];

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Asks anew from the first page on. */
  async reload(): Promise<void> {
    this.#question += 1;
    this.#loading = false;
    this.#cursor = null;
    this.held = [];
    this.moreFailed = false;
    this.error = null;
    this.complete = false;
    this.phase = "loading";
    this.#meanwhile = [];
    await this.#load();
  }

  async searchFor(search: string): Promise<void> {
    if (search.trim() === this.search.trim()) return;
    this.search = search;
    await this.reload();
  }

  /** Asks for the next page, unless it is asked for already or there is none. */
  async loadMore(): Promise<void> {
    if (this.phase !== "ready" || this.complete || this.moreFailed) return;
    await this.#load();
  }

  async retryMore(): Promise<void> {
    this.moreFailed = false;
    await this.loadMore();
  }

  apply(change: GalleryChange): void {
    if (this.phase === "loading") this.#meanwhile.push(change);
    if (this.phase !== "ready") return;
    const { added, removed } = change;
    const wanted = added.filter((image) => matches(image, this.search));
    if (this.holding) {
      const known = new Set(this.images.map((image) => image.id));
      this.held = prependArrivals(
        this.held,
        wanted.filter((image) => !known.has(image.id)),
      );
    } else this.images = prependArrivals(this.images, wanted);
    this.images = withoutIds(this.images, removed);
    this.held = withoutIds(this.held, removed);
  }

  /** Puts the arrivals that were held back in their place. */
  showHeld(): void {
    this.images = prependArrivals(this.images, this.held);
    this.held = [];
  }

  async remove(image: Image): Promise<void> {
    await this.#backend.deleteImage(image.id);
    this.apply({ added: [], removed: [image.id] });
  }

  async #load(): Promise<void> {
    if (this.#loading) return;
    const question = this.#question;
    const first = this.#cursor === null;
    this.#loading = true;
    try {
      const search = this.search.trim() === "" ? null : this.search.trim();
      const page = await this.#backend.images({ search, cursor: this.#cursor, limit: PAGE });
      if (question !== this.#question) return;
      this.images = appendPage(first ? [] : this.images, page.images);
      this.#cursor = page.next_cursor ?? null;
      this.complete = this.#cursor === null;
      this.phase = "ready";
      for (const change of this.#meanwhile.splice(0)) this.apply(change);
    } catch (thrown) {
      if (question !== this.#question) return;
      if (first) {
        this.error = asBackendError(thrown, strings.errors.unexpected).view();
        this.phase = "failed";
      } else this.moreFailed = true;
    } finally {
      if (question === this.#question) this.#loading = false;
    }
  }
}
