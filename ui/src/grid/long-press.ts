//! A finger that stays where it is.
//!
//! Invariant: a press ends as one of three things: long, moved, or lifted.

/** A finger that stays for so long means something else than a tap, in milliseconds. */
const LONG = 450;
/** And within so many pixels. */
const STILL = 10;

export class LongPress {
  /** Whether the last press was long: what the browser makes of it afterwards is not meant. */
  wasLong = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #from: { x: number; y: number } | null = null;

  /** A finger came down. */
  begin(x: number, y: number, act: () => void): void {
    this.end();
    this.wasLong = false;
    this.#from = { x, y };
    this.#timer = setTimeout(() => {
      this.#from = null;
      this.wasLong = true;
      act();
    }, LONG);
  }

  move(x: number, y: number): void {
    if (this.#from !== null && Math.hypot(x - this.#from.x, y - this.#from.y) > STILL) this.end();
  }

  /** Lifted, or taken by the browser for scrolling. */
  end(): void {
    clearTimeout(this.#timer);
    this.#from = null;
  }

  /** Whether a finger is down. */
  get isDown(): boolean {
    return this.#from !== null;
  }
}
