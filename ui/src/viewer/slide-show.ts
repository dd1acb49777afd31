//! Pictures one after the other, each for a few seconds, until somebody wants otherwise.
//!
//! Invariant: at most one timer runs; after `stop` none does.

/** For how long each picture is shown, in milliseconds. */
export const SLIDE_TIME = 5000;

export class SlideShow {
  readonly #next: () => boolean;
  readonly #changed: (runs: boolean) => void;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #runs = false;

  /** `next` turns to the next picture and answers whether there was one. */
  constructor(next: () => boolean, changed: (runs: boolean) => void) {
    this.#next = next;
    this.#changed = changed;
  }

  toggle(): void {
    if (this.#runs) this.stop();
    else this.#start();
  }

  /** A picture is there to be looked at: its time begins. */
  shown(): void {
    if (this.#runs) this.#wait();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#runs) return;
    this.#runs = false;
    this.#changed(false);
  }

  #start(): void {
    this.#runs = true;
    this.#changed(true);
    this.#wait();
  }

  #wait(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // The next one's time begins anew when it is shown, and at the latest now.
      if (this.#next()) this.#wait();
      else this.stop();
    }, SLIDE_TIME);
  }
}
