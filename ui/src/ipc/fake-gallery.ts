//! What the made-up gallery holds: columns for as many pictures as are asked for, and the pictures on demand.
//!
//! Invariant: sequences ascend with time, and the made-up picture `n` has the sequence `n + 1`.

import { indexOfId, madeUpCamera, madeUpImage, madeUpName, madeUpPause, madeUpRatio } from "./fake-pictures";
import type { Image, Timeline } from "./types";

export class FakeGallery {
  /** Seconds since 1970, by index. */
  #created: Uint32Array;
  #ratios: Uint16Array;
  #count: number;
  readonly #gone = new Set<number>();

  constructor(count: number, now = Date.now() / 1000) {
    this.#count = count;
    this.#created = new Uint32Array(count);
    this.#ratios = new Uint16Array(count);
    let time = now - 1800;
    for (let index = count - 1; index >= 0; index -= 1) {
      this.#created[index] = time;
      this.#ratios[index] = madeUpRatio(index);
      // A hundred thousand pictures reach over some years, and so do a million.
      time -= madeUpPause(index) * (count > 200_000 ? 0.15 : count > 5000 ? 1 : 8);
    }
  }

  get count(): number {
    return this.#count - this.#gone.size;
  }

  timeline(search: string): Timeline {
    const words = search
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "");
    const sequences = new Uint32Array(this.#count);
    let found = 0;
    for (let index = this.#count - 1; index >= 0; index -= 1) {
      if (this.#gone.has(index) || !this.#matches(index, words)) continue;
      sequences[found] = index + 1;
      found += 1;
    }
    const kept = sequences.slice(0, found);
    return {
      search,
      sequences: kept,
      created: Uint32Array.from(kept, (sequence) => this.#created[sequence - 1]!),
      ratios: Uint16Array.from(kept, (sequence) => this.#ratios[sequence - 1]!),
    };
  }

  image(sequence: number): Image | null {
    const index = sequence - 1;
    if (index < 0 || index >= this.#count || this.#gone.has(index)) return null;
    return madeUpImage(index, this.#created[index]!);
  }

  sequenceOf(id: string): number | null {
    const index = indexOfId(id);
    return index >= 0 && index < this.#count && !this.#gone.has(index) ? index + 1 : null;
  }

  /** One more, now. */
  publish(): { image: Image; sequence: number } {
    const index = this.#count;
    this.#count += 1;
    if (this.#created.length < this.#count) {
      const room = this.#count + 1000;
      const created = new Uint32Array(room);
      const ratios = new Uint16Array(room);
      created.set(this.#created);
      ratios.set(this.#ratios);
      this.#created = created;
      this.#ratios = ratios;
    }
    this.#created[index] = Date.now() / 1000;
    this.#ratios[index] = madeUpRatio(index);
    return { image: madeUpImage(index, this.#created[index]), sequence: index + 1 };
  }

  delete(id: string): void {
    this.#gone.add(indexOfId(id));
  }

  #matches(index: number, words: readonly string[]): boolean {
    if (words.length === 0) return true;
    const date = new Date(this.#created[index]! * 1000).toISOString().slice(0, 10);
    const text = ` ${madeUpName(index)} ${madeUpCamera(index) ?? ""} ${date}`.toLowerCase();
    return words.every((word) => text.includes(` ${word}`));
  }
}
