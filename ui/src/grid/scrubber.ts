//! The dates along the grid's edge: where each year and month stands on a track, and which date a place on it is.
//!
//! Plain numbers, no document. Invariant: the track is the grid from its first scroll position (0) to its last (1).

import type { Layout } from "./layout";
import { sectionAt } from "./layout";

export interface Months {
  readonly count: number;
  /** The first day's section of each month, newest first. */
  readonly sections: Int32Array;
  /** Each month as a number: 202611. */
  readonly numbers: Int32Array;
}

export function monthsOf({ count, days }: { count: number; days: Int32Array }): Months {
  const sections: number[] = [];
  const numbers: number[] = [];
  for (let section = 0; section < count; section += 1) {
    const number = Math.floor(days[section]! / 100);
    if (number === numbers.at(-1)) continue;
    sections.push(section);
    numbers.push(number);
  }
  return { count: numbers.length, sections: Int32Array.from(sections), numbers: Int32Array.from(numbers) };
}

export interface Mark {
  /** From the track's beginning, in CSS pixels. */
  readonly at: number;
  /** The year that is written there; null for a tick. */
  readonly year: number | null;
}

/** Between two marks with a year, and between any two, in CSS pixels. */
const BETWEEN_YEARS = 26;
const BETWEEN_TICKS = 7;

/** What is drawn on a track: years where they have room, months as ticks between them. */
export function marksOf(layout: Layout, months: Months, max: number, track: number): Mark[] {
  const place = (month: number) =>
    max <= 0 ? 0 : Math.min(1, layout.sectionTops[months.sections[month]!]! / max) * track;
  const marks: Mark[] = [];
  let lastYear = Number.NEGATIVE_INFINITY;
  for (let month = 0; month < months.count; month += 1) {
    const year = Math.floor(months.numbers[month]! / 100);
    if (month > 0 && Math.floor(months.numbers[month - 1]! / 100) === year) continue;
    const at = place(month);
    if (at - lastYear < BETWEEN_YEARS || at > track - BETWEEN_YEARS / 2) continue;
    marks.push({ at, year });
    lastYear = at;
  }
  const years = marks.map(({ at }) => at);
  let lastTick = Number.NEGATIVE_INFINITY;
  for (let month = 0; month < months.count; month += 1) {
    const at = place(month);
    if (at - lastTick < BETWEEN_TICKS) continue;
    // Above a year's text, which stands on its own mark, there is room for none.
    if (years.some((year) => Math.abs(year - at) < BETWEEN_YEARS / 2)) continue;
    marks.push({ at, year: null });
    lastTick = at;
  }
  return marks;
}

/** The month that a scroll position is in. */
export function monthAt(layout: Layout, months: Months, top: number): number {
  if (months.count === 0) return -1;
  const section = sectionAt(layout, top);
  let low = 0;
  let high = months.count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (months.sections[middle]! <= section) low = middle;
    else high = middle - 1;
  }
  return low;
}

export type ScrubberKey = "older" | "newer" | "olderYear" | "newerYear" | "newest" | "oldest";

/** The month that a key leads to. */
export function monthFrom(months: Months, month: number, key: ScrubberKey): number {
  const last = months.count - 1;
  switch (key) {
    case "older":
      return Math.min(last, month + 1);
    case "newer":
      return Math.max(0, month - 1);
    case "newest":
      return 0;
    case "oldest":
      return last;
    case "olderYear":
    case "newerYear": {
      const goal = months.numbers[month]! + (key === "olderYear" ? -100 : 100);
      if (key === "olderYear") {
        const found = months.numbers.findIndex((number) => number <= goal);
        return found === -1 ? last : found;
      }
      // The newest one that is at least a year newer: the last of those in the list's order.
      for (let candidate = month - 1; candidate >= 0; candidate -= 1) {
        if (months.numbers[candidate]! >= goal) return candidate;
      }
      return 0;
    }
  }
}
