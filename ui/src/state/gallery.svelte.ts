//! The pictures that the grid shows: the timeline of all or of a search, the rows in sight, and what is selected.
//!
//! Invariants: an answer to a question that is no longer asked (another search, another server) changes nothing; while
//! a newer timeline is on its way the one that is there stays, also for the same one.

import { asBackendError, MAX_PICTURES, type Backend } from "../ipc/backend";
import type { Picture, Timeline, ViewError } from "../ipc/types";
import { strings } from "../strings";
import { NONE, rangesOf, withoutRanges, withRange, type Ranges } from "./ranges";
import { Rows } from "./rows";
import { NOTHING, selectedCount, type Selection } from "./selection";
import { EMPTY, isSame, placeOf, stretchesIn, without } from "./timeline";

/** Where nothing else changed, originals that are on their way are asked about at most once in so many milliseconds. */
const KEPT_EVERY = 5000;

export type GalleryPhase = "loading" | "ready" | "failed";

export class Gallery {
  /** What is shown. */
  timeline = $state.raw<Timeline>(EMPTY);
  phase = $state<GalleryPhase>("loading");
  /** Why there is nothing to show. */
  error = $state<ViewError | null>(null);
  /** What is asked for; `timeline.search` is what is shown. */
  search = $state("");
  selection = $state.raw<Selection>(NOTHING);
  /** The newest picture that somebody has had before their eyes. */
  seen = $state(0);
  readonly rows: Rows;
  readonly selectedCount = $derived(selectedCount(this.selection, this.timeline));
  /** How many pictures came in front of what was seen. */
  readonly arrivals = $derived(this.seen === 0 ? 0 : placeOf(this.timeline, this.seen));

  readonly #backend: Backend;
  /** As it was answered, with what is hidden. */
  #whole: Timeline = EMPTY;
  #hidden: Ranges = NONE;
  #question = 0;
  #asking = false;
  #askAgain = false;
  #keptAt = 0;
  #keptSoon: ReturnType<typeof setTimeout> | undefined;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.rows = new Rows((timeline, start, end) => backend.pictures(timeline, start, end));
  }

  /** Asks anew, with nothing to show until the answer comes: another gallery, or another try. */
  async reload(): Promise<void> {
    this.rows.clear();
    this.selection = NOTHING;
    this.#hidden = NONE;
    this.seen = 0;
    this.error = null;
    this.phase = "loading";
    await this.#ask();
  }

  async searchFor(search: string): Promise<void> {
    if (search.trim() === this.search.trim()) return;
    this.search = search;
    this.selection = NOTHING;
    this.seen = 0;
    if (this.phase === "failed") this.phase = "loading";
    await this.#ask();
  }

  /** Something changed. Many changes while an answer is on its way lead to one more question. */
  async refresh(): Promise<void> {
    if (this.#asking) this.#askAgain = true;
    else await this.#ask();
  }

  /** Resolves with what is true now on the screen. */
  async refreshNow(): Promise<void> {
    await this.#ask();
  }

  /** The pictures that are selected, newest first, at most `MAX_PICTURES` at a time: a selection may be of a million. */
  async *selected(): AsyncGenerator<Picture[], void, void> {
    const { timeline } = this;
    let stretch: Picture[] = [];
    for (const { start, end } of stretchesIn(timeline, this.selection.ranges)) {
      let from = start;
      while (from < end) {
        const to = Math.min(end, from + MAX_PICTURES - stretch.length);
        for (const picture of await this.rows.all(timeline, from, to)) {
          if (picture !== null) stretch.push(picture);
        }
        from = to;
        if (stretch.length < MAX_PICTURES) continue;
        yield stretch;
        stretch = [];
      }
    }
    if (stretch.length > 0) yield stretch;
  }

  hide(sequences: readonly number[]): void {
    const gone = rangesOf(sequences);
    this.#hidden = gone.reduce((hidden, { low, high }) => withRange(hidden, low, high), this.#hidden);
    this.selection = { ...this.selection, ranges: withoutRanges(this.selection.ranges, gone) };
    this.#show();
  }

  unhide(sequences: readonly number[]): void {
    this.#hidden = withoutRanges(this.#hidden, rangesOf(sequences));
    this.#show();
  }

  /** Somebody has the newest pictures before their eyes. */
  look(): void {
    this.seen = this.timeline.sequences[0] ?? 0;
  }

  #refreshKept(byOthers = false): void {
    clearTimeout(this.#keptSoon);
    this.#keptSoon = undefined;
    this.#keptAt = Date.now();
    this.rows.refreshKept(byOthers);
  }

  /** That the list is the same says that something else changed: on the desktop, perhaps what another program kept. */
  #refreshKeptSoon(): void {
    const refresh = () => this.#refreshKept(this.#backend.offline !== null);
    this.#keptSoon ??= setTimeout(refresh, Math.max(0, this.#keptAt + KEPT_EVERY - Date.now()));
  }

  #show(): void {
    this.timeline = without(this.#whole, this.#hidden);
  }

  async #ask(): Promise<void> {
    this.#question += 1;
    const question = this.#question;
    this.#asking = true;
    this.#askAgain = false;
    try {
      const timeline = await this.#backend.timeline(this.search.trim());
      if (question !== this.#question) return;
      // The same once more is no other layout.
      if (this.phase === "ready" && isSame(timeline, this.#whole)) {
        this.#refreshKeptSoon();
        return;
      }
      this.#whole = timeline;
      this.error = null;
      this.phase = "ready";
      this.#show();
      this.#refreshKept();
    } catch (thrown) {
      if (question !== this.#question) return;
      // What is there stays there, unless it answers another question.
      if (this.phase === "ready" && this.#whole.search === this.search.trim()) return;
      this.error = asBackendError(thrown, strings.errors.unexpected).view();
      this.phase = "failed";
    } finally {
      if (question === this.#question) {
        this.#asking = false;
        if (this.#askAgain) void this.#ask();
      }
    }
  }
}
