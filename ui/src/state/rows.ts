//! The pictures behind the timeline's columns, fetched for what is in sight and forgotten when it is long gone.
//!
//! Not here: the order, which is the timeline's. Invariants: at most `AT_ONCE` questions are under way; what is no longer
//! in sight when its turn comes is not asked for; at most `LIMIT` pictures are held, beside those in sight.

import { MAX_PICTURES } from "../ipc/backend";
import type { Picture, Timeline } from "../ipc/types";

const AT_ONCE = 2;
/** Pictures in one question: a few screens of them. */
const PAGE = 120;
/** Pictures in one question for many. A server counts those between them that are hidden here, too. */
const STRETCH = MAX_PICTURES / 2;
/** About 4 MB of them. */
const LIMIT = 3000;
/** How long nothing is asked after a question failed, in milliseconds. */
const PAUSE = 2000;

export type LoadPictures = (timeline: Timeline, start: number, end: number) => Promise<(Picture | null)[]>;

interface Wanted {
  readonly timeline: Timeline;
  readonly start: number;
  readonly end: number;
}

export class Rows {
  /** Called when pictures came, or changed. */
  changed: () => void = () => undefined;

  readonly #load: LoadPictures;
  /** By sequence, the oldest answer first; null: gone. */
  readonly #known = new Map<number, Picture | null>();
  /** Those of them that are to be asked about anew. */
  readonly #stale = new Set<number>();
  readonly #asked = new Set<number>();
  #wanted: Wanted | null = null;
  #underWay = 0;
  #retry: ReturnType<typeof setTimeout> | null = null;
  /** Another gallery's answers are none of this one's. */
  #age = 0;

  constructor(load: LoadPictures) {
    this.#load = load;
  }

  /** The picture; null when it is gone, undefined while it is not known. */
  get(sequence: number): Picture | null | undefined {
    return this.#known.get(sequence);
  }

  /** Whether none of a stretch is missing. */
  has(timeline: Timeline, start: number, end: number): boolean {
    for (let index = start; index < end; index += 1) {
      if (!this.#known.has(timeline.sequences[index]!)) return false;
    }
    return true;
  }

  /** Says what is in sight; what is missing of it is fetched, and what was wanted before is wanted no longer. */
  want(timeline: Timeline, start: number, end: number): void {
    this.#wanted = { timeline, start, end };
    this.#askForMissing();
  }

  /** One of them, fetched if need be; null when it is gone. */
  async at(timeline: Timeline, index: number): Promise<Picture | null> {
    const sequence = timeline.sequences[index];
    if (sequence === undefined) return null;
    const known = this.#known.get(sequence);
    if (known !== undefined) return known;
    const [picture = null] = await this.all(timeline, index, index + 1);
    return picture;
  }

  /** All of a stretch, however long, without keeping them. */
  async all(timeline: Timeline, start: number, end: number): Promise<(Picture | null)[]> {
    const pictures: (Picture | null)[] = [];
    for (let from = start; from < end; from += STRETCH) {
      pictures.push(...(await this.#load(timeline, from, Math.min(end, from + STRETCH))));
    }
    return pictures;
  }

  /** Puts a picture in its old one's place, if that is known. */
  replace(picture: Picture): void {
    if (!this.#known.has(picture.sequence)) return;
    this.#known.set(picture.sequence, picture);
    this.changed();
  }

  /**
   * Asks anew for those whose original is still on its way here. Where other programs may have kept some, for all that are in
   * sight or come into it, which stay as they are until the answer.
   */
  refreshKept(byOthers = false): void {
    for (const [sequence, picture] of this.#known) {
      if (picture === null || (picture.kept && !picture.original_here)) this.#known.delete(sequence);
      else if (byOthers) this.#stale.add(sequence);
    }
    this.#askForMissing();
  }

  clear(): void {
    this.#age += 1;
    this.#known.clear();
    this.#stale.clear();
    this.#asked.clear();
    this.#wanted = null;
    this.#underWay = 0;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
  }

  #askForMissing(): void {
    while (this.#wanted !== null && this.#underWay < AT_ONCE && this.#retry === null) {
      const { timeline, start, end } = this.#wanted;
      let from = start;
      while (from < end && this.#isComing(timeline, from)) from += 1;
      if (from >= end) return;
      let to = from + 1;
      while (to < end && to - from < PAGE && !this.#isComing(timeline, to)) to += 1;
      void this.#ask({ timeline, start: from, end: to });
    }
  }

  #isComing(timeline: Timeline, index: number): boolean {
    const sequence = timeline.sequences[index]!;
    return (this.#known.has(sequence) && !this.#stale.has(sequence)) || this.#asked.has(sequence);
  }

  async #ask({ timeline, start, end }: Wanted): Promise<void> {
    const age = this.#age;
    const sequences = timeline.sequences.subarray(start, end);
    for (const sequence of sequences) this.#asked.add(sequence);
    this.#underWay += 1;
    let came: (Picture | null)[] | null = null;
    try {
      came = await this.#load(timeline, start, end);
    } catch {
      // That the server cannot be reached is told elsewhere; here it is tried again.
    }
    if (age !== this.#age) return;
    this.#underWay -= 1;
    for (const sequence of sequences) this.#asked.delete(sequence);
    if (came === null) {
      this.#retry = setTimeout(() => {
        this.#retry = null;
        this.#askForMissing();
      }, PAUSE);
      return;
    }
    for (const [offset, sequence] of sequences.entries()) {
      this.#known.set(sequence, came[offset] ?? null);
      this.#stale.delete(sequence);
    }
    this.#forget();
    this.changed();
    this.#askForMissing();
  }

  /** Lets go of the oldest answers that are not in sight. */
  #forget(): void {
    let spare = this.#known.size - LIMIT;
    if (spare <= 0) return;
    const { sequences, low, high } = this.#inSight();
    for (const sequence of this.#known.keys()) {
      if (spare <= 0) return;
      if (sequences > 0 && sequence >= low && sequence <= high) continue;
      this.#known.delete(sequence);
      this.#stale.delete(sequence);
      spare -= 1;
    }
  }

  #inSight(): { sequences: number; low: number; high: number } {
    if (this.#wanted === null || this.#wanted.end <= this.#wanted.start)
      return { sequences: 0, low: 0, high: 0 };
    const { timeline, start, end } = this.#wanted;
    return { sequences: end - start, low: timeline.sequences[end - 1]!, high: timeline.sequences[start]! };
  }
}
