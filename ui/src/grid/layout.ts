//! Where each picture stands: rows of equal height that fill the width, as in a printed contact sheet.
//!
//! Plain numbers in typed arrays; it knows no document and no scroll position of its own.
//!
//! Invariant: within a row pictures stand in order, a gap apart, on whole pixels, and every row but the last ends
//! exactly at the width.

export interface LayoutOptions {
  /** Of the grid, in CSS pixels. */
  readonly width: number;
  /** What rows come close to. */
  readonly rowHeight: number;
  /** Between pictures and between rows. */
  readonly gap: number;
}

export interface Cell {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Layout {
  /** How many pictures. */
  readonly count: number;
  /** Of all rows together, in CSS pixels. */
  readonly height: number;
  /** The first picture of each row, and behind the last row the count. */
  readonly rowStarts: Int32Array;
  /** The top of each row, and behind the last row where one more would begin. */
  readonly rowTops: Float64Array;
  readonly lefts: Int32Array;
  readonly widths: Int32Array;
  readonly gap: number;
}

/** Pictures that are wider or taller than this are cut to it in the grid; the viewer shows them whole. */
const MIN_RATIO = 0.45;
const MAX_RATIO = 3;

/** A row is never stretched to more than this many times the height that was asked for. */
const MAX_STRETCH = 1.6;

/** Width over height as the grid shows it. */
export function gridRatio(width: number, height: number): number {
  if (!(width > 0 && height > 0)) return 1;
  return Math.min(MAX_RATIO, Math.max(MIN_RATIO, width / height));
}

/** The height that rows come close to in a grid of this width: few pictures side by side on a phone, more on a desk. */
export function comfortableRowHeight(width: number): number {
  return Math.round(Math.min(232, Math.max(116, 88 + width * 0.08)));
}

export function layOut(ratios: ArrayLike<number>, { width, rowHeight, gap }: LayoutOptions): Layout {
  const count = ratios.length;
  const lefts = new Int32Array(count);
  const widths = new Int32Array(count);
  const rowStarts: number[] = [];
  const rowTops: number[] = [];
  const fullWidth = Math.max(1, Math.floor(width));
  let top = 0;
  let first = 0;

  while (first < count) {
    let end = first;
    let sum = 0;
    // Takes pictures until the row is no taller than wanted, then decides whether the last is better left out.
    while (end < count) {
      const ratio = ratios[end]!;
      const without = heightOf(sum, end - first, fullWidth, gap);
      sum += ratio;
      end += 1;
      const height = heightOf(sum, end - first, fullWidth, gap);
      if (height > rowHeight) continue;
      // Heights are compared as factors: half of it is as far off as twice.
      const leaveOut =
        without <= rowHeight * MAX_STRETCH && without / rowHeight < rowHeight / Math.max(1, height);
      if (end - first > 1 && leaveOut) {
        end -= 1;
        sum -= ratio;
      }
      break;
    }

    const filled = heightOf(sum, end - first, fullWidth, gap);
    const isLast = end === count;
    // A last row that would have to be stretched keeps its height and ends early.
    const justified = !isLast || filled <= rowHeight * 1.15;
    const height = Math.max(1, Math.round(justified ? filled : rowHeight));
    const inner = justified ? fullWidth - gap * (end - first - 1) : height * sum;

    rowStarts.push(first);
    rowTops.push(top);
    let before = 0;
    for (let index = first; index < end; index += 1) {
      const from = Math.round((inner * before) / sum);
      before += ratios[index]!;
      // The sum is exact at the row's end only without rounding.
      const to = index === end - 1 ? Math.round(inner) : Math.round((inner * before) / sum);
      lefts[index] = from + gap * (index - first);
      widths[index] = Math.max(1, to - from);
    }
    top += height + gap;
    first = end;
  }

  rowStarts.push(count);
  rowTops.push(top);
  return {
    count,
    height: Math.max(0, top - gap),
    rowStarts: Int32Array.from(rowStarts),
    rowTops: Float64Array.from(rowTops),
    lefts,
    widths,
    gap,
  };
}

/** The height at which `count` pictures whose ratios sum up to `sum` fill the width. */
function heightOf(sum: number, count: number, width: number, gap: number): number {
  if (count === 0) return Number.POSITIVE_INFINITY;
  return Math.max(1, width - gap * (count - 1)) / sum;
}

/** The row that picture `index` stands in. */
export function rowOf(layout: Layout, index: number): number {
  return lastAtMost(layout.rowStarts, layout.rowStarts.length - 1, index);
}

export function cellAt(layout: Layout, index: number): Cell {
  const row = rowOf(layout, index);
  const top = layout.rowTops[row]!;
  return {
    left: layout.lefts[index]!,
    top,
    width: layout.widths[index]!,
    height: layout.rowTops[row + 1]! - layout.gap - top,
  };
}

/** The pictures whose rows touch the stretch from `from` to `to`, as a half-open range. */
export function visibleRange(layout: Layout, from: number, to: number): { start: number; end: number } {
  const rows = layout.rowStarts.length - 1;
  if (rows === 0 || to <= from || to <= 0 || from >= layout.height) return { start: 0, end: 0 };
  const firstRow = lastAtMost(layout.rowTops, rows, Math.max(0, from));
  const lastRow = lastAtMost(layout.rowTops, rows, Math.min(layout.height, to) - 0.5);
  return { start: layout.rowStarts[firstRow]!, end: layout.rowStarts[lastRow + 1]! };
}

export type Move = "left" | "right" | "up" | "down" | "home" | "end" | "pageUp" | "pageDown";

/** The picture that a key leads to from picture `index`; `page` is the height of what is seen at once. */
export function moveFrom(layout: Layout, index: number, move: Move, page: number): number {
  if (layout.count === 0) return -1;
  const last = layout.count - 1;
  switch (move) {
    case "left":
      return Math.max(0, index - 1);
    case "right":
      return Math.min(last, index + 1);
    case "home":
      return 0;
    case "end":
      return last;
    case "up":
    case "down":
    case "pageUp":
    case "pageDown": {
      const row = rowOf(layout, index);
      const rows = layout.rowStarts.length - 1;
      const down = move === "down" || move === "pageDown";
      let target = down ? row + 1 : row - 1;
      if (move === "pageUp" || move === "pageDown") {
        const goal = layout.rowTops[row]! + (down ? page : -page);
        const reached = lastAtMost(layout.rowTops, rows, Math.max(0, goal));
        target = down ? Math.max(target, reached) : Math.min(target, reached);
      }
      if (target < 0 || target >= rows) return move === "pageUp" ? 0 : move === "pageDown" ? last : index;
      return nearestInRow(layout, target, layout.lefts[index]! + layout.widths[index]! / 2);
    }
  }
}

/** The picture of `row` whose middle is nearest to `x`. */
function nearestInRow(layout: Layout, row: number, x: number): number {
  let best = layout.rowStarts[row]!;
  let distance = Number.POSITIVE_INFINITY;
  for (let index = best; index < layout.rowStarts[row + 1]!; index += 1) {
    const away = Math.abs(layout.lefts[index]! + layout.widths[index]! / 2 - x);
    if (away < distance) {
      distance = away;
      best = index;
    }
  }
  return best;
}

/** The last of the first `length` ascending values that is at most `value`; 0 when none is. */
function lastAtMost(values: ArrayLike<number>, length: number, value: number): number {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
