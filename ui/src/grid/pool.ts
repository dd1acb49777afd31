//! The few cells that the grid consists of, given to the pictures in sight as these come and go.
//!
//! Invariants: a picture that stays in sight keeps its cell; no two pictures have the same; a cell that is not needed is
//! not in the document, and holds no picture's pixels.

import type { Picture } from "../ipc/types";
import { GridCell, type Detail, type PictureUrl } from "./cell";
import { placesInRow, rowOf, type Layout } from "./layout";

/** Cells that wait to be used again. */
const MOST_SPARE = 64;

export interface Scene {
  readonly layout: Layout;
  readonly sequences: Uint32Array;
  /** The rows that exist, as a half-open range. */
  readonly first: number;
  readonly last: number;
  /** What is to be taken from the layout's heights. */
  readonly offset: number;
  /** The picture that the Tab key leads to; it exists even out of sight, so that the focus is never lost. -1: none. */
  readonly current: number;
  /** The window, in the layout's heights. */
  readonly top: number;
  readonly bottom: number;
  /** Whether lines begin at the right. */
  readonly mirrored: boolean;
  readonly detail: Detail;
  picture(sequence: number): Picture | null | undefined;
  isSelected(sequence: number): boolean;
}

export class CellPool {
  /** While pictures go by, thumbnails that nobody sees yet are shown together and not one by one: each showing costs. */
  isMoving = false;

  readonly #host: HTMLElement;
  readonly #pictureUrl: PictureUrl;
  readonly #live = new Map<number, GridCell>();
  readonly #spare: GridCell[] = [];
  readonly #ofElement = new WeakMap<Element, GridCell>();
  /** Used again at each drawing. */
  readonly #places: number[] = [];
  readonly #freed: GridCell[] = [];
  /** Cells whose thumbnails came and wait to be shown. */
  readonly #waiting: GridCell[] = [];

  constructor(host: HTMLElement, pictureUrl: PictureUrl) {
    this.#host = host;
    this.#pictureUrl = pictureUrl;
  }

  /** The cell that an event came from. */
  cellOf(target: EventTarget | null): GridCell | null {
    const root = target instanceof Element ? target.closest(".cell") : null;
    return root === null ? null : (this.#ofElement.get(root) ?? null);
  }

  cellFor(sequence: number): GridCell | null {
    return this.#live.get(sequence) ?? null;
  }

  /** Those that exist and are known, newest first. */
  pictures(): Picture[] {
    return [...this.#live.values()]
      .flatMap(({ picture }) => (picture === null ? [] : [picture]))
      .sort((a, b) => b.sequence - a.sequence);
  }

  draw(scene: Scene): void {
    const { layout, sequences, first, last, current } = scene;
    const start = first < last ? layout.rowStarts[first]! : 0;
    const end = first < last ? layout.rowStarts[last]! : 0;
    const isApart = current >= 0 && current < layout.count && (current < start || current >= end);
    const apart = isApart ? sequences[current]! : -1;

    // First what leaves, so that its cells are there for what comes.
    const newest = start < end ? sequences[start]! : -1;
    const oldest = start < end ? sequences[end - 1]! : 0;
    for (const [sequence, cell] of this.#live) {
      if (
        (sequence <= newest && sequence >= oldest && this.#isThere(scene, sequence, start, end)) ||
        sequence === apart
      )
        continue;
      this.#live.delete(sequence);
      this.#freed.push(cell);
    }
    for (let row = first; row < last; row += 1) this.#drawRow(scene, row, -1);
    if (isApart) this.#drawRow(scene, rowOf(layout, current), current);

    for (const cell of this.#freed) {
      cell.clear();
      cell.root.remove();
      if (this.#spare.length < MOST_SPARE) this.#spare.push(cell);
    }
    this.#freed.length = 0;
    this.revealAll();
  }

  /** The server can be reached again: thumbnails that did not come are asked for. */
  askAgain(): void {
    for (const cell of this.#live.values()) cell.askAgain();
  }

  /** Shows what waits to be. */
  revealAll(): void {
    for (const cell of this.#waiting) cell.reveal(false);
    this.#waiting.length = 0;
    this.#sharpen();
  }

  /** Long pictures get more pixels once all that is in sight has its thumbnail and nothing moves: the rest is not kept waiting. */
  #sharpen(): void {
    if (this.isMoving) return;
    const seen = [...this.#live.values()].filter((cell) => cell.inSight && cell.picture !== null);
    if (seen.every((cell) => cell.isSettled)) for (const cell of seen) cell.sharpen();
  }

  /** A picture between two that are in sight may be gone. */
  #isThere({ sequences }: Scene, sequence: number, start: number, end: number): boolean {
    let low = start;
    let high = end - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sequences[middle]! > sequence) low = middle + 1;
      else high = middle;
    }
    return sequences[low] === sequence;
  }

  /** Draws a row, or one picture of it. */
  #drawRow(scene: Scene, row: number, only: number): void {
    const { layout, sequences, offset, current, mirrored, detail } = scene;
    const places = placesInRow(layout, row, this.#places);
    const start = layout.rowStarts[row]!;
    const y = layout.rowTops[row]! - offset;
    const height = layout.rowHeights[row]!;
    for (let at = 0; at * 2 < places.length; at += 1) {
      const index = start + at;
      if (only !== -1 && index !== only) continue;
      const sequence = sequences[index]!;
      const cell = this.#live.get(sequence) ?? this.#take(sequence);
      const left = places[at * 2]!;
      const width = places[at * 2 + 1]!;
      const { top, bottom } = scene;
      const rowTop = layout.rowTops[row]!;
      cell.inSight = rowTop < bottom && rowTop + height > top;
      cell.place(mirrored ? layout.width - left - width : left, y, width, height);
      cell.show(sequence, index, layout.count, scene.picture(sequence), detail);
      cell.mark(scene.isSelected(sequence), index === current);
    }
  }

  #take(sequence: number): GridCell {
    // One that just left is in the document already.
    let cell = this.#freed.pop();
    if (cell === undefined) {
      cell = this.#spare.pop();
      if (cell === undefined) {
        cell = new GridCell(this.#pictureUrl, (settled) => {
          if (this.isMoving && !settled.inSight) this.#waiting.push(settled);
          else settled.reveal(!this.isMoving);
          this.#sharpen();
        });
        this.#ofElement.set(cell.root, cell);
        cell.root.dataset.testid = "cell";
      }
      this.#host.append(cell.root);
    }
    this.#live.set(sequence, cell);
    return cell;
  }
}
