//! Sets of sequence numbers as ranges, so that a million selected pictures are one range and not a million entries.
//!
//! Pure functions. Invariant: ranges ascend, do not touch each other, and are never changed in place.

export interface Range {
  /** Inclusive, as `high` is. */
  readonly low: number;
  readonly high: number;
}

export type Ranges = readonly Range[];

export const NONE: Ranges = [];

export function withRange(ranges: Ranges, low: number, high: number): Ranges {
  const before = ranges.filter((range) => range.high < low - 1);
  const after = ranges.filter((range) => range.low > high + 1);
  const touched = ranges.slice(before.length, ranges.length - after.length);
  const merged = {
    low: Math.min(low, touched[0]?.low ?? low),
    high: Math.max(high, touched.at(-1)?.high ?? high),
  };
  return [...before, merged, ...after];
}

export function withoutRange(ranges: Ranges, low: number, high: number): Ranges {
  return ranges.flatMap((range) => {
    if (range.high < low || range.low > high) return [range];
    const left: Range[] = [];
    if (range.low < low) left.push({ low: range.low, high: low - 1 });
    if (range.high > high) left.push({ low: high + 1, high: range.high });
    return left;
  });
}

export function hasNumber(ranges: Ranges, value: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle]!;
    if (value < range.low) high = middle - 1;
    else if (value > range.high) low = middle + 1;
    else return true;
  }
  return false;
}

/** What `ranges` have from `low` to `high`. */
export function clipped(ranges: Ranges, low: number, high: number): Ranges {
  let first = 0;
  let end = ranges.length;
  while (first < end) {
    const middle = (first + end) >> 1;
    if (ranges[middle]!.high < low) first = middle + 1;
    else end = middle;
  }
  const found: Range[] = [];
  for (let at = first; at < ranges.length && ranges[at]!.low <= high; at += 1) {
    const range = ranges[at]!;
    found.push({ low: Math.max(low, range.low), high: Math.min(high, range.high) });
  }
  return found;
}

/** Of all numbers that `ranges` and `others` have, those of the first that the second have not. */
export function withoutRanges(ranges: Ranges, others: Ranges): Ranges {
  return others.reduce((left, { low, high }) => withoutRange(left, low, high), ranges);
}

/** The numbers, which may be in any order, as ranges. */
export function rangesOf(numbers: readonly number[]): Ranges {
  const sorted = [...numbers].sort((a, b) => a - b);
  const ranges: { low: number; high: number }[] = [];
  for (const number of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && number <= last.high + 1) last.high = Math.max(last.high, number);
    else ranges.push({ low: number, high: number });
  }
  return ranges;
}
