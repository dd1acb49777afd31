//! The uploads of this client, as the backend tells them.

import type { Backend } from "../ipc/backend";
import type { UploadView } from "../ipc/types";
import { mergeUploads, summarise, withoutFinished } from "./upload-list";

export class Uploads {
  list = $state.raw<readonly UploadView[]>([]);
  readonly summary = $derived(summarise(this.list));
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  async load(): Promise<void> {
    const uploads = await this.#backend.uploads();
    // What was told meanwhile is newer than the answer.
    this.list = mergeUploads(uploads, this.list);
  }

  apply(changed: readonly UploadView[]): void {
    this.list = mergeUploads(this.list, changed);
  }

  cancel(id: string): Promise<void> {
    return this.#backend.cancelUpload(id);
  }

  retry(id: string): Promise<void> {
    return this.#backend.retryUpload(id);
  }

  async clearFinished(): Promise<void> {
    await this.#backend.clearFinishedUploads();
    this.list = withoutFinished(this.list);
  }
}
