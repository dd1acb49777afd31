//! What the wheel means: pixels to go, or, with Ctrl, steps of size. No document.

/** Pixels of the wheel for one step of size. */
const STEP = 80;

/** How far it was turned, in CSS pixels; `page` is the height of what is seen at once. */
export function pixelsOf(
  { deltaY, deltaMode }: Pick<WheelEvent, "deltaY" | "deltaMode">,
  page: number,
): number {
  return deltaY * (deltaMode === 0 ? 1 : deltaMode === 1 ? 33 : page);
}

/** A wheel's notch is a step, and so is as much by the small turns that touch pads tell of. */
export class WheelSteps {
  #turned = 0;

  /** 1 for larger, -1 for smaller, 0 until it was turned far enough. */
  turn(pixels: number): -1 | 0 | 1 {
    this.#turned += pixels;
    if (Math.abs(this.#turned) < STEP) return 0;
    const step = this.#turned < 0 ? 1 : -1;
    this.#turned = 0;
    return step;
  }
}
