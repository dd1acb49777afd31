//! What the grid calls a day. Dates are put into words once and not at each step of scrolling.

import { formats } from "../kit/format";
import { strings } from "../strings";
import { dateOf, localDay } from "./days";

/** As many days as are kept in words. */
const MOST = 500;

export class DayWords {
  readonly #known = new Map<number, string>();

  /** A day by its number: today and yesterday as such. */
  of(day: number): string {
    const known = this.#known.get(day);
    if (known !== undefined) return known;
    if (this.#known.size > MOST) this.#known.clear();
    const words = wordsFor(day, new Date());
    this.#known.set(day, words);
    return words;
  }

  /** Today is yesterday tomorrow. */
  forget(): void {
    this.#known.clear();
  }
}

function wordsFor(day: number, now: Date): string {
  if (day === localDay(now.getTime() / 1000).number) return strings.today;
  const before = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1, 12);
  if (day === localDay(before.getTime() / 1000).number) return strings.yesterday;
  return formats.day(dateOf(day), now);
}
