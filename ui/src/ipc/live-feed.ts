//! Hears from the server when something came or went, and says so: at most twice a second, however much it was.
//!
//! Not here: what came or went. Whoever is told asks for the timeline, which costs a few bytes where it is the same.

/** At most one word in so many milliseconds. */
const EVERY = 500;

/** How long a server is left alone that ended the connection for good, in milliseconds. */
const AGAIN = 10_000;

export class LiveFeed {
  readonly #changed: () => void;
  readonly #connect: () => EventSource;
  #source: EventSource | null = null;
  #again: ReturnType<typeof setTimeout> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #lastTold = 0;

  constructor(changed: () => void, connect: () => EventSource = () => new EventSource("/v1/events")) {
    this.#changed = changed;
    this.#connect = connect;
  }

  start(): void {
    this.stop();
    document.addEventListener("visibilitychange", this.#onVisible);
    window.addEventListener("online", this.look);
    this.#open();
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.#onVisible);
    window.removeEventListener("online", this.look);
    clearTimeout(this.#again);
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#source?.close();
    this.#source = null;
  }

  /** There may be something new. */
  readonly look = (): void => {
    if (this.#soon !== undefined) return;
    const wait = Math.max(0, this.#lastTold + EVERY - Date.now());
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      this.#lastTold = Date.now();
      this.#changed();
    }, wait);
  };

  readonly #onVisible = (): void => {
    if (document.visibilityState === "visible") this.look();
  };

  #open(): void {
    const source = this.#connect();
    this.#source = source;
    source.addEventListener("change", this.look);
    // It connects again by itself where the line broke, and tells what happened meanwhile only if it had heard something
    // before. Where the server refused, it does not.
    source.addEventListener("feed", this.look);
    source.addEventListener("error", () => {
      this.look();
      if (source.readyState !== EventSource.CLOSED || this.#source !== source) return;
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.#open(), AGAIN);
    });
  }
}
