//! Hears from the server when something came or went, and says so: at most twice a second, however much it was.
//!
//! Not here: what came or went. Whoever is told asks for the timeline, which costs a few bytes where it is the same.
//! Invariant: a connection is open only while the page is seen, and a broken one says nothing until it is whole again.

/** At most one word in so many milliseconds. */
const EVERY = 500;

/** How long a server is left alone that ended the connection for good, in milliseconds. */
const AGAIN = 10_000;

export class LiveFeed {
  readonly #changed: () => void;
  readonly #lost: () => void;
  readonly #connect: () => EventSource;
  #source: EventSource | null = null;
  #isBroken = false;
  #again: ReturnType<typeof setTimeout> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #lastTold = 0;

  /**
   * `lost` is called once when the line breaks and not for each attempt to mend it, and each time that the server refuses:
   * it may be well and have no place for one more listener.
   */
  constructor(
    changed: () => void,
    lost: () => void,
    connect: () => EventSource = () => new EventSource("/v1/events"),
  ) {
    this.#changed = changed;
    this.#lost = lost;
    this.#connect = connect;
  }

  start(): void {
    this.stop();
    document.addEventListener("visibilitychange", this.#onVisible);
    window.addEventListener("online", this.look);
    if (document.visibilityState !== "hidden") this.#open();
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.#onVisible);
    window.removeEventListener("online", this.look);
    this.#close();
    clearTimeout(this.#soon);
    this.#soon = undefined;
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
    this.#close();
    if (document.visibilityState === "hidden") return;
    this.#open();
    // A connection of its own does not tell what happened before it.
    this.look();
  };

  #close(): void {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
    this.#isBroken = false;
  }

  #open(): void {
    const source = this.#connect();
    this.#source = source;
    const whole = () => {
      if (this.#source !== source) return;
      this.#isBroken = false;
      this.look();
    };
    source.addEventListener("change", whole);
    // The first word of each connection. What happened while there was none is told only to who had heard of something
    // before.
    source.addEventListener("feed", whole);
    source.addEventListener("error", () => {
      if (this.#source !== source) return;
      // It connects again by itself where the line broke; where the server refused, it does not.
      const isRefused = source.readyState === EventSource.CLOSED;
      if (isRefused || !this.#isBroken) this.#lost();
      this.#isBroken = true;
      if (!isRefused) return;
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.#open(), AGAIN);
    });
  }
}
