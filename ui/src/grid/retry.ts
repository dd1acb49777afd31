//! When a thumbnail that did not come is asked for again: after pauses that grow, and then no more until it may come.
//!
//! Not here: the asking. Invariant: after `end` nothing is asked for.

/** In milliseconds. */
const PAUSES = [1500, 6000, 20_000];

export class Retry {
  readonly #ask: () => void;
  #failures = 0;
  #isMissing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ask: () => void) {
    this.#ask = ask;
  }

  /** Whether it did not come when it was asked for last. */
  get isMissing(): boolean {
    return this.#isMissing;
  }

  /** It did not come. */
  failed(): void {
    this.#isMissing = true;
    const pause = PAUSES[this.#failures];
    if (pause === undefined) return;
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#ask, pause);
  }

  /** Whoever has it can be reached again: what is missing is asked for now, and after the same pauses as at first. */
  again(): void {
    if (!this.#isMissing) return;
    this.end();
    this.#ask();
  }

  /** It came, or it is no longer wanted. */
  end(): void {
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#isMissing = false;
  }
}
