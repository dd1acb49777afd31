//! Where each picture stands: a heading for each day, and under it rows of equal height that fill the width, as in a
//! printed contact sheet.
//!
//! Plain numbers in typed arrays, a few for each row and none for each picture, so that a million pictures are laid out
//! again while somebody drags the window's edge. It knows no document and no scroll position.
//!
//! Invariant: within a row pictures stand in order, a gap apart, on whole pixels, and every row but the last of its day
//! ends exactly at the width.

import { sectionsOf, type Sections } from "./days";

export interface LayoutOptions {
  /** Of the grid, in CSS pixels. */
  readonly width: number;
  /** What rows come close to. */
  readonly rowHeight: number;
  /** Between pictures and between rows. */
  readonly gap: number;
  /** The height of a day's heading. */
  readonly heading: number;
}

export interface Cell {
  /** From the side where lines begin. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Layout {
  /** How many pictures. */
  readonly count: number;
  readonly width: number;
  /** Of everything together, in CSS pixels. */
  readonly height: number;
  readonly gap: number;
  readonly heading: number;
  readonly sections: Sections;
  /** How many rows. */
  readonly rows: number;
  /** The first picture of each row, and behind the last row the count. */
  readonly rowStarts: Int32Array;
  readonly rowTops: Float64Array;
  readonly rowHeights: Uint16Array;
  /** 1 for rows that end at the width. */
  readonly rowFull: Uint8Array;
  /** The first row of each day, and behind the last day the number of rows. */
  readonly sectionRows: Int32Array;
  /** The top of each day's heading, and behind the last day the whole height. */
  readonly sectionTops: Float64Array;
  readonly ratios: Uint16Array;
}

/** What a ratio of 1 is in the timeline's columns. */
export const RATIO_UNIT = 2048;

/** Pictures that are wider or taller than this are cut to it in the grid; the viewer shows them whole. */
const MIN_RATIO = 0.45;
const MAX_RATIO = 3;

/** A row is never stretched to more than this many times the height that was asked for. */
const MAX_STRETCH = 1.6;

/** The last row of a day fills the width where that makes it no more than this many times as high. */
const MAX_LAST_STRETCH = 1.15;

/** Width over height as the grid shows it. */
export function gridRatio(column: number): number {
  return Math.min(MAX_RATIO, Math.max(MIN_RATIO, column / RATIO_UNIT));
}

/** The height that rows come close to in a grid of this width: few pictures side by side on a phone, more on a desk. */
export function comfortableRowHeight(width: number): number {
  return Math.round(Math.min(232, Math.max(116, 88 + width * 0.08)));
}

export function layOut(
  ratios: Uint16Array,
  sections: Sections,
  { width, rowHeight, gap, heading }: LayoutOptions,
): Layout {
  const full = Math.max(1, Math.floor(width));
  // About as many rows as there are when pictures are of the usual shapes.
  const rowsMade = new RowColumns(sections.count + Math.ceil((ratios.length * 1.5 * rowHeight) / full));
  const sectionRows = new Int32Array(sections.count + 1);
  const sectionTops = new Float64Array(sections.count + 1);
  // Sums are of the columns' own units, and heights are compared without a division: a row is no taller than wanted
  // once the width that is left for pictures is at most `unit` for each unit of their sum.
  const unit = rowHeight / RATIO_UNIT;
  const most = MAX_RATIO * RATIO_UNIT;
  const least = Math.ceil(MIN_RATIO * RATIO_UNIT);
  let top = 0;

  for (let section = 0; section < sections.count; section += 1) {
    sectionRows[section] = rowsMade.count;
    sectionTops[section] = top;
    top += heading;
    const last = sections.starts[section + 1]!;
    let first = sections.starts[section]!;
    while (first < last) {
      let end = first;
      let sum = 0;
      let room = full + gap;
      // Takes pictures until the row is no taller than wanted, then decides whether the last is better left out.
      while (end < last) {
        const column = ratios[end]!;
        const ratio = column > most ? most : column < least ? least : column;
        sum += ratio;
        room -= gap;
        end += 1;
        if (room > sum * unit) continue;
        if (end - first > 1) {
          // How many times as high as wanted. Compared as factors: half of it is as far off as twice.
          const without = (room + gap) / ((sum - ratio) * unit);
          if (without <= MAX_STRETCH && without * Math.max(1, room) < sum * unit) {
            end -= 1;
            sum -= ratio;
            room += gap;
          }
        }
        break;
      }
      const filled = Math.max(1, room) / sum;
      // A last row that would have to be stretched keeps its height and ends early.
      const isFull = end < last || filled <= unit * MAX_LAST_STRETCH;
      const height = Math.max(1, Math.round(isFull ? filled * RATIO_UNIT : rowHeight));
      rowsMade.add(first, top, height, isFull);
      top += height + gap;
      first = end;
    }
  }

  const height = sections.count === 0 ? 0 : top - gap;
  sectionRows[sections.count] = rowsMade.count;
  sectionTops[sections.count] = height;
  return {
    count: ratios.length,
    width: full,
    height,
    gap,
    heading,
    sections,
    rows: rowsMade.count,
    ...rowsMade.finish(ratios.length),
    sectionRows,
    sectionTops,
    ratios,
  };
}

/** The columns of rows, which grow when there are more than were thought of. */
class RowColumns {
  count = 0;
  #starts: Int32Array;
  #tops: Float64Array;
  #heights: Uint16Array;
  #full: Uint8Array;

  constructor(room: number) {
    const size = Math.min(2 ** 24, Math.max(16, room));
    this.#starts = new Int32Array(size);
    this.#tops = new Float64Array(size);
    this.#heights = new Uint16Array(size);
    this.#full = new Uint8Array(size);
  }

  add(start: number, top: number, height: number, isFull: boolean): void {
    const row = this.count;
    if (row + 1 >= this.#starts.length) this.#grow();
    this.#starts[row] = start;
    this.#tops[row] = top;
    this.#heights[row] = height;
    this.#full[row] = isFull ? 1 : 0;
    this.count = row + 1;
  }

  finish(pictures: number): Pick<Layout, "rowStarts" | "rowTops" | "rowHeights" | "rowFull"> {
    this.#starts[this.count] = pictures;
    return {
      rowStarts: this.#starts.slice(0, this.count + 1),
      rowTops: this.#tops.slice(0, this.count),
      rowHeights: this.#heights.slice(0, this.count),
      rowFull: this.#full.slice(0, this.count),
    };
  }

  #grow(): void {
    const size = this.#starts.length * 2;
    const grown = <T extends { set(from: T): void }>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.#starts = grown(this.#starts, new Int32Array(size));
    this.#tops = grown(this.#tops, new Float64Array(size));
    this.#heights = grown(this.#heights, new Uint16Array(size));
    this.#full = grown(this.#full, new Uint8Array(size));
  }
}

/** The row that picture `index` stands in. */
export function rowOf(layout: Layout, index: number): number {
  return lastAtMost(layout.rowStarts, layout.rows, index);
}

/** Where the pictures of a row begin and how wide they are, in pairs; `into` is used again from row to row. */
export function placesInRow(layout: Layout, row: number, into: number[]): number[] {
  const { rowStarts, rowHeights, rowFull, ratios, width, gap } = layout;
  const start = rowStarts[row]!;
  const end = rowStarts[row + 1]!;
  let sum = 0;
  for (let index = start; index < end; index += 1) sum += gridRatio(ratios[index]!);
  const inner = rowFull[row] === 1 ? width - gap * (end - start - 1) : rowHeights[row]! * sum;
  let before = 0;
  let from = 0;
  for (let index = start; index < end; index += 1) {
    before += gridRatio(ratios[index]!);
    // The sum is exact at the row's end only without rounding.
    const to = index === end - 1 ? Math.round(inner) : Math.round((inner * before) / sum);
    const offset = index - start;
    into[offset * 2] = from + gap * offset;
    into[offset * 2 + 1] = Math.max(1, to - from);
    from = to;
  }
  into.length = (end - start) * 2;
  return into;
}

export function cellAt(layout: Layout, index: number): Cell {
  const row = rowOf(layout, index);
  const places = placesInRow(layout, row, []);
  const offset = index - layout.rowStarts[row]!;
  return {
    left: places[offset * 2]!,
    top: layout.rowTops[row]!,
    width: places[offset * 2 + 1]!,
    height: layout.rowHeights[row]!,
  };
}

/** The rows that touch the stretch from `from` to `to`, as a half-open range. */
export function visibleRows(layout: Layout, from: number, to: number): { first: number; last: number } {
  const { rows, rowTops, rowHeights, gap } = layout;
  if (rows === 0 || to <= from || to <= 0 || from >= layout.height) return { first: 0, last: 0 };
  let first = lastAtMost(rowTops, rows, Math.max(0, from));
  // Between a day's last row and the next day's first there is a heading.
  if (rowTops[first]! + rowHeights[first]! + gap <= from) first += 1;
  const last = lastAtMost(rowTops, rows, Math.min(layout.height, to) - 0.5);
  if (rowTops[last]! >= to) return { first: 0, last: 0 };
  return { first, last: Math.max(first, last + 1) };
}

/** The days whose headings or rows touch the stretch, as a half-open range. */
export function visibleSections(layout: Layout, from: number, to: number): { first: number; last: number } {
  const { count } = layout.sections;
  if (count === 0 || to <= from || to <= 0 || from >= layout.height) return { first: 0, last: 0 };
  return {
    first: lastAtMost(layout.sectionTops, count, Math.max(0, from)),
    last: lastAtMost(layout.sectionTops, count, to - 0.5) + 1,
  };
}

/** The day that is at a height. */
export const sectionAt = (layout: Layout, top: number): number =>
  layout.sections.count === 0 ? -1 : lastAtMost(layout.sectionTops, layout.sections.count, top);

/**
 * The day of what is at the top when its heading is not: -1 while the heading's line of text is in sight, and while the next
 * day's is where a label would be. `lead` is from a heading's top to that line, `line` the height of the line and the label.
 */
export function sectionAbove(layout: Layout, top: number, lead: number, line: number): number {
  const section = sectionAt(layout, top);
  if (section < 0 || top <= layout.sectionTops[section]! + lead) return -1;
  const next = section + 1;
  const isNear = next < layout.sections.count && layout.sectionTops[next]! + lead < top + line;
  return isNear ? -1 : section;
}

/** The first picture that is in sight at a height, or below it. */
export function pictureAt(layout: Layout, top: number): number {
  if (layout.rows === 0) return -1;
  const { first, last } = visibleRows(layout, top, top + layout.height);
  return last > first ? layout.rowStarts[first]! : layout.count - 1;
}

export type Move = "before" | "after" | "up" | "down" | "home" | "end" | "pageUp" | "pageDown";

/** The picture that a key leads to from picture `index`; `page` is the height of what is seen at once. */
export function moveFrom(layout: Layout, index: number, move: Move, page: number): number {
  if (layout.count === 0) return -1;
  const last = layout.count - 1;
  switch (move) {
    case "before":
      return Math.max(0, index - 1);
    case "after":
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
      const down = move === "down" || move === "pageDown";
      let target = down ? row + 1 : row - 1;
      if (move === "pageUp" || move === "pageDown") {
        const goal = layout.rowTops[row]! + (down ? page : -page);
        const reached = lastAtMost(layout.rowTops, layout.rows, Math.max(0, goal));
        target = down ? Math.max(target, reached) : Math.min(target, reached);
      }
      if (target < 0 || target >= layout.rows)
        return move === "pageUp" ? 0 : move === "pageDown" ? last : index;
      const { left, width } = cellAt(layout, index);
      return nearestInRow(layout, target, left + width / 2);
    }
  }
}

/** The picture of `row` whose middle is nearest to `x`. */
export function nearestInRow(layout: Layout, row: number, x: number): number {
  const places = placesInRow(layout, row, []);
  let best = 0;
  let distance = Number.POSITIVE_INFINITY;
  for (let offset = 0; offset * 2 < places.length; offset += 1) {
    const away = Math.abs(places[offset * 2]! + places[offset * 2 + 1]! / 2 - x);
    if (away < distance) {
      distance = away;
      best = offset;
    }
  }
  return layout.rowStarts[row]! + best;
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

/** Of no pictures. */
export const NO_LAYOUT: Layout = layOut(new Uint16Array(), sectionsOf(new Uint32Array()), {
  width: 1,
  rowHeight: 1,
  gap: 0,
  heading: 0,
});
