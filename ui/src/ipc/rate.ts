//! How fast bytes move, over the last few seconds.

const WINDOW = 4000;

export class Rate {
  #samples: { time: number; sent: number }[];

  constructor(now: number) {
    this.#samples = [{ time: now, sent: 0 }];
  }

  /** Bytes per second up to now, when `sent` bytes have gone in all; null before there is enough to tell. */
  at(now: number, sent: number): number | null {
    this.#samples.push({ time: now, sent });
    while (this.#samples.length > 2 && now - this.#samples[1]!.time >= WINDOW) this.#samples.shift();
    const first = this.#samples[0]!;
    const elapsed = now - first.time;
    return elapsed < 500 ? null : ((sent - first.sent) / elapsed) * 1000;
  }
}
