//! How far the grid is scrolled, where the grid is higher than any element may be.
//!
//! Browsers cut elements at 16 to 33 million pixels, and a million pictures need more. So the element that is scrolled
//! has at most `MAX_HEIGHT`, and an offset lies between its scroll position (`dom`) and the grid's own (`top`): what is
//! shown stands at `top - offset`. A little movement (wheel, keys, a finger) moves both alike; a leap (the scroll bar)
//! goes to the same fraction of both. Once scrolling has come to rest, the offset is set to what fits, unseen.
//!
//! Plain numbers, no document. Invariants: `top = dom + offset`; `top` is never beyond the ends; near the ends of the
//! grid, when at rest, a pixel of the element is a pixel of the grid, so that its ends are reached exactly.

/** 32-bit floats, in which browsers place things, hold half pixels up to here. */
export const MAX_HEIGHT = 4_000_000;

/** At either end, where the two go together at rest. */
const EDGE = 200_000;

export class ScrollSpace {
  /** The grid's own scroll position. */
  top = 0;
  dom = 0;
  #total = 0;
  #viewport = 0;

  /** Of the element that is scrolled. */
  get height(): number {
    return Math.min(this.#total, MAX_HEIGHT);
  }

  get offset(): number {
    return this.top - this.dom;
  }

  /** The furthest that the grid can be scrolled. */
  get max(): number {
    return Math.max(0, this.#total - this.#viewport);
  }

  get isScaled(): boolean {
    return this.#total > MAX_HEIGHT;
  }

  /** Takes another height of the grid or of the window. The position stays, as far as there is one. */
  resize(total: number, viewport: number): void {
    this.#total = total;
    this.#viewport = viewport;
  }

  /** Goes to a place in the grid; answers the scroll position that belongs to it. */
  moveTo(top: number): number {
    this.top = this.#within(top);
    this.dom = this.#fitting(this.top);
    return this.dom;
  }

  /** Goes to a place in the grid with the scroll position as it is, where that can be: nothing interrupts a movement. */
  shiftTo(top: number): number {
    this.top = this.#within(top);
    if (this.#isStuck()) this.dom = this.#fitting(this.top);
    return this.dom;
  }

  /** The element was scrolled. Answers the scroll position to set instead, or null. */
  scrolled(dom: number): number | null {
    const by = dom - this.dom;
    if (by === 0) return null;
    const leaps = this.isScaled && Math.abs(by) > this.#viewport * 2;
    const wanted = leaps ? this.#unfitting(dom) : this.top + by;
    this.dom = dom;
    this.top = this.#within(wanted);
    if (this.top === wanted && !this.#isStuck()) return null;
    this.dom = this.#fitting(this.top);
    return this.dom === dom ? null : this.dom;
  }

  /** Scrolling has come to rest. Answers the scroll position to set, or null when it is the fitting one. */
  settle(): number | null {
    const fitting = this.#fitting(this.top);
    if (Math.abs(fitting - this.dom) < 1) return null;
    this.dom = fitting;
    return fitting;
  }

  /** Whether the element is at its end, or beyond, while the grid is not. */
  #isStuck(): boolean {
    const domMax = this.#domMax();
    if (this.dom > domMax || this.dom < 0) return true;
    const left = this.max - this.top;
    const domLeft = domMax - this.dom;
    if ((this.dom === 0 && this.top > 0) || (domLeft === 0 && left > 0)) return true;
    // Well before, where more comes than an element has left.
    const near = this.isScaled ? this.#viewport : 0;
    return (this.dom < near && this.top > this.dom + near) || (domLeft < near && left > domLeft + near);
  }

  #within(top: number): number {
    return Math.min(this.max, Math.max(0, top));
  }

  #domMax(): number {
    return Math.max(0, this.height - this.#viewport);
  }

  /** The scroll position that belongs to a place, at rest. */
  #fitting(top: number): number {
    if (!this.isScaled) return top;
    const domMax = this.#domMax();
    const left = this.max - top;
    if (top <= EDGE) return top;
    if (left <= EDGE) return domMax - left;
    return Math.round(EDGE + ((top - EDGE) / (this.max - 2 * EDGE)) * (domMax - 2 * EDGE));
  }

  /** The place that belongs to a scroll position. */
  #unfitting(dom: number): number {
    const domMax = this.#domMax();
    const left = domMax - dom;
    if (dom <= EDGE) return dom;
    if (left <= EDGE) return this.max - left;
    return Math.round(EDGE + ((dom - EDGE) / (domMax - 2 * EDGE)) * (this.max - 2 * EDGE));
  }
}
