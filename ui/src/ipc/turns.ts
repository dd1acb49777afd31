//! A few things at a time, in the order in which they were asked for; all that wait at once when the page is being left.
//!
//! Invariant: what is asked for when there is room, or while the page is being left, has begun when `take` returns.

export class Turns {
  readonly #atOnce: number;
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  #hurries = false;

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Does it when it is its turn. */
  take<T>(act: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push(() => {
        this.#underWay += 1;
        void act()
          .then(resolve, reject)
          .finally(() => {
            this.#underWay -= 1;
            this.#begin();
          });
      });
      this.#begin();
    });
  }

  /** Whether nothing may wait: what has not begun now never begins. */
  hurry(hurries: boolean): void {
    this.#hurries = hurries;
    this.#begin();
  }

  #begin(): void {
    while (this.#waiting.length > 0 && (this.#hurries || this.#underWay < this.#atOnce))
      this.#waiting.shift()!();
  }
}

/** Hurries while the page is hidden or being left, which may be the last that it hears; the result stops that. */
export function hurryWhenLeaving(turns: Turns): () => void {
  const hide = () => turns.hurry(true);
  const look = () => turns.hurry(document.visibilityState === "hidden");
  look();
  window.addEventListener("pagehide", hide);
  window.addEventListener("pageshow", look);
  document.addEventListener("visibilitychange", look);
  return () => {
    window.removeEventListener("pagehide", hide);
    window.removeEventListener("pageshow", look);
    document.removeEventListener("visibilitychange", look);
  };
}
