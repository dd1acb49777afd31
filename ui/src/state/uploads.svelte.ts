//! The uploads of this client, as the backend tells them.

import type { Backend } from "../ipc/backend";
import type { Image, UploadView } from "../ipc/types";
import { endedBefore, hasFailed, mergeUploads, stillFailed, summarise, withoutFinished } from "./upload-list";

export class Uploads {
  list = $state.raw<readonly UploadView[]>([]);
  #endedBefore = $state.raw<ReadonlySet<string>>(new Set());
  readonly summary = $derived(summarise(this.list, this.#endedBefore));
  /** Whether something failed that nobody has looked at. */
  readonly unseenFailure = $derived(
    this.list.some((upload) => hasFailed(upload) && !this.#seen.has(upload.id)),
  );
  readonly #backend: Backend;
  #seen = $state.raw<ReadonlySet<string>>(new Set());
  #loads = 0;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Asks anew, after another gallery is shown: those of the one before are its own. */
  async restart(): Promise<void> {
    this.list = [];
    this.#seen = new Set();
    await this.load();
  }

  async load(): Promise<void> {
    this.#loads += 1;
    const load = this.#loads;
    const uploads = await this.#backend.uploads();
    // The answer may be about the gallery before.
    if (load !== this.#loads) return;
    // What was told meanwhile is newer than the answer.
    this.list = mergeUploads(uploads, this.list);
    this.#endedBefore = endedBefore(new Set(uploads.map(({ id }) => id)), this.list);
  }

  /** Somebody has the list before their eyes. */
  look(): void {
    this.#seen = new Set(this.list.filter(hasFailed).map(({ id }) => id));
  }

  apply(changed: readonly UploadView[]): void {
    this.list = mergeUploads(this.list, changed);
    this.#endedBefore = endedBefore(this.#endedBefore, this.list);
    // What is tried again may fail anew.
    this.#seen = stillFailed(this.#seen, this.list);
  }

  cancel(id: string): Promise<void> {
    return this.#backend.cancelUpload(id);
  }

  retry(id: string): Promise<void> {
    return this.#backend.retryUpload(id);
  }

  pause(id: string): Promise<void> {
    return this.#backend.pauseUpload(id);
  }

  resume(id: string): Promise<void> {
    return this.#backend.resumeUpload(id);
  }

  moveToTop(id: string): Promise<void> {
    return this.#backend.moveUploadToTop(id);
  }

  pauseAll(): Promise<void> {
    return this.#backend.pauseUploads();
  }

  resumeAll(): Promise<void> {
    return this.#backend.resumeUploads();
  }

  cancelAll(): Promise<void> {
    return this.#backend.cancelUploads();
  }

  retryFailed(): Promise<void> {
    return this.#backend.retryUploads();
  }

  /** Forgets all that has ended, or `only` one of them. */
  async clearFinished(only: string | null): Promise<void> {
    await this.#backend.clearFinishedUploads(only);
    this.list = withoutFinished(this.list, only);
  }

  /** Which of these pictures are in the gallery no more; none where nobody can say. */
  async gone(images: readonly Image[]): Promise<ReadonlySet<string>> {
    return new Set(await this.#backend.gone(images).catch(() => []));
  }
}
