//! Deleting with a way back: the pictures are hidden at once and deleted when the time for undoing is over.
//!
//! Invariant: what is hidden is either shown again or deleted; nothing is deleted twice, and nothing after it was undone.

/** How long a deletion can be undone, in milliseconds. */
export const UNDO_TIME = 8000;

export interface DeletionSteps<T> {
  hide(pictures: readonly T[]): void;
  show(pictures: readonly T[]): void;
  /** Deletes for good; never rejects. */
  carryOut(pictures: readonly T[]): Promise<void>;
  /** What can be undone now; null when nothing. */
  pending(pictures: readonly T[] | null): void;
}

export class Deletion<T> {
  readonly #steps: DeletionSteps<T>;
  #pictures: readonly T[] | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(steps: DeletionSteps<T>) {
    this.#steps = steps;
  }

  /** Hides the pictures. Those of an earlier deletion, which can no longer be undone, are deleted now. */
  start(pictures: readonly T[]): void {
    void this.flush();
    if (pictures.length === 0) return;
    this.#pictures = pictures;
    this.#steps.hide(pictures);
    this.#steps.pending(pictures);
    this.#timer = setTimeout(() => void this.flush(), UNDO_TIME);
  }

  undo(): void {
    const pictures = this.#take();
    if (pictures !== null) this.#steps.show(pictures);
  }

  /** Deletes what could still be undone. Its calls are made before this returns. */
  async flush(): Promise<void> {
    const pictures = this.#take();
    if (pictures !== null) await this.#steps.carryOut(pictures);
  }

  #take(): readonly T[] | null {
    clearTimeout(this.#timer);
    const pictures = this.#pictures;
    this.#pictures = null;
    if (pictures !== null) this.#steps.pending(null);
    return pictures;
  }
}
