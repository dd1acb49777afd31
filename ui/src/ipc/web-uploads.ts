//! Uploads of a web page: the bytes go from this page straight to the store, each request signed right before it.
//!
//! Not here: anything that outlives the page. What is not published when the tab closes is swept up by the server.
//!
//! Invariants: at most `LANES` files are in work at once; every call to the server can be repeated, so that after a
//! broken connection a file simply begins again at its opening; a URL is used for one request and kept nowhere.

import { strings } from "../strings";
import type { CompletedPart, SignedRequest, UploadAnswer, UploadApi } from "./api";
import { asBackendError, BackendError } from "./backend";
import { cleanFileName } from "./file-name";
import type { Put } from "./put";
import { Rate } from "./rate";
import type { Image, UploadState, UploadView } from "./types";
import { uuidV7 } from "./uuid";

/** How many files are in work at once. */
const LANES = 3;

/** How often changes are told at most, in milliseconds. */
const TELL_EVERY = 100;

/** How often the store may fail to answer, while the server does, before a file has failed. */
const STORE_ATTEMPTS = 6;

/** Codes that say nothing about the file: later it may work. */
const PASSING: ReadonlySet<string> = new Set(["offline", "unavailable", "store_unavailable", "rate_limited"]);

/** What the pipeline needs of the world; tests bring their own. */
export interface World {
  readonly api: UploadApi;
  readonly put: Put;
  hash(file: Blob, signal: AbortSignal): Promise<string>;
  /** Resolves after `milliseconds`, or earlier when the network is said to be back; rejects when aborted. */
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
  now(): number;
}

export interface Listeners {
  changed(uploads: UploadView[]): void;
  published(image: Image): void;
}

interface Job {
  readonly view: UploadView;
  readonly file: File;
  /** The server's name for this upload; another after it was given up. */
  uploadId: string;
  sha256: string | null;
  opened: boolean;
  /** Whether bytes of it went to the store, so that finding it published means that this page published it. */
  sent: boolean;
  storeFailures: number;
  stop: AbortController;
}

export class WebUploads {
  readonly #world: World;
  readonly #listeners: Listeners;
  /** In the order in which they have their turn. */
  #jobs: Job[] = [];
  #inWork = 0;
  readonly #untold = new Set<Job>();
  #teller: ReturnType<typeof setTimeout> | null = null;

  constructor(world: World, listeners: Listeners) {
    this.#world = world;
    this.#listeners = listeners;
  }

  list(): UploadView[] {
    return this.#jobs.map((job) => ({ ...job.view }));
  }

  get busy(): boolean {
    return this.#inWork > 0 || this.#jobs.some((job) => !isOver(job.view.state));
  }

  add(files: readonly File[]): void {
    for (const file of files) {
      const id = uuidV7();
      const job: Job = {
        view: {
          id,
          file_name: cleanFileName(file.name),
          state: "queued",
          size: file.size,
          sent_bytes: 0,
          bytes_per_second: null,
          image: null,
          error: null,
          position: this.#lastPosition(),
          location_removed: false,
          started_anew: false,
        },
        file,
        uploadId: id,
        sha256: null,
        opened: false,
        sent: false,
        storeFailures: 0,
        stop: new AbortController(),
      };
      this.#jobs.push(job);
      this.#tell(job);
    }
    this.#startNext();
  }

  /** Keeps what is in the store, and lets go of the connection. */
  pause(id: string): void {
    const job = this.#job(id);
    if (job === undefined || isOver(job.view.state) || job.view.state === "paused") return;
    this.#set(job, "paused");
    job.stop.abort(new DOMException("paused", "AbortError"));
  }

  resume(id: string): void {
    const job = this.#job(id);
    if (job?.view.state !== "paused") return;
    job.stop = new AbortController();
    this.#set(job, "queued");
    this.#startNext();
  }

  moveToTop(id: string): void {
    const job = this.#job(id);
    const first = this.#jobs[0];
    if (job === undefined || first === undefined || job === first) return;
    job.view.position = first.view.position - 1;
    this.#jobs = [job, ...this.#jobs.filter((other) => other !== job)];
    this.#tell(job);
  }

  pauseAll(): void {
    for (const job of [...this.#jobs]) this.pause(job.view.id);
  }

  resumeAll(): void {
    for (const job of [...this.#jobs]) this.resume(job.view.id);
  }

  cancelAll(): void {
    // From the end, so that none begins when one before it makes room.
    for (const job of [...this.#jobs].reverse()) this.cancel(job.view.id);
  }

  retryFailed(): void {
    for (const job of [...this.#jobs]) if (job.view.state === "failed") this.retry(job.view.id);
  }

  cancel(id: string): void {
    const job = this.#job(id);
    if (job === undefined || isOver(job.view.state)) return;
    this.#set(job, "cancelled");
    job.stop.abort(new DOMException("cancelled", "AbortError"));
    // Best effort: what this does not reach, the server sweeps up.
    if (job.opened) void this.#world.api.abort(job.uploadId).catch(() => undefined);
  }

  retry(id: string): void {
    const job = this.#job(id);
    if (job === undefined || (job.view.state !== "failed" && job.view.state !== "cancelled")) return;
    job.uploadId = uuidV7();
    job.opened = false;
    job.sent = false;
    job.storeFailures = 0;
    job.stop = new AbortController();
    job.view.error = null;
    job.view.sent_bytes = 0;
    this.#set(job, "queued");
    this.#startNext();
  }

  /** Forgets all that has ended, or `only` one of them. */
  clearFinished(only: string | null): void {
    const isOther = (id: string) => only !== null && id !== only;
    this.#jobs = this.#jobs.filter(({ view }) => !isOver(view.state) || isOther(view.id));
  }

  #job(id: string): Job | undefined {
    return this.#jobs.find((candidate) => candidate.view.id === id);
  }

  #lastPosition(): number {
    return (this.#jobs.at(-1)?.view.position ?? 0) + 1;
  }

  #startNext(): void {
    while (this.#inWork < LANES) {
      const job = this.#jobs.find((candidate) => candidate.view.state === "queued");
      if (job === undefined) return;
      this.#inWork += 1;
      this.#set(job, "hashing");
      void this.#drive(job, job.stop.signal).finally(() => {
        this.#inWork -= 1;
        this.#startNext();
      });
    }
  }

  /** Brings a file to its end. Never rejects. */
  async #drive(job: Job, signal: AbortSignal): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      try {
        const answer = await this.#attempt(job, signal);
        if (!signal.aborted) this.#conclude(job, answer);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const error = asBackendError(thrown, strings.errors.unexpected);
        if (!PASSING.has(error.code)) {
          this.#set(job, "failed", error);
          return;
        }
        this.#set(job, "waiting", error);
        try {
          await this.#world.pause(Math.min(30_000, 1000 * 2 ** Math.min(failures, 5)), signal);
        } catch {
          return;
        }
      }
    }
  }

  /** One way through all steps; whatever is done already is not done again. */
  async #attempt(job: Job, signal: AbortSignal): Promise<UploadAnswer> {
    const { api } = this.#world;
    const { file, view } = job;
    if (file.size === 0) throw new BackendError("empty_file", strings.errors.empty_file);
    if (job.sha256 === null) {
      this.#set(job, "hashing");
      job.sha256 = await this.#readable(() => this.#world.hash(file, signal), signal);
    }

    let answer = await api.open(
      job.uploadId,
      {
        file_name: view.file_name,
        size: file.size,
        sha256: job.sha256,
        ...(file.type === "" ? {} : { content_type: file.type }),
      },
      signal,
    );
    job.opened = true;
    // What was held back or taken back while an answer was on its way is no longer this attempt's.
    signal.throwIfAborted();
    if (answer.state === "open") {
      this.#set(job, "uploading");
      const parts = await this.#sendBytes(job, answer, signal);
      signal.throwIfAborted();
      this.#set(job, "verifying");
      answer = await api.complete(job.uploadId, parts, signal);
    }
    for (let wait = 200; answer.state === "verifying"; wait = Math.min(2000, wait * 1.5)) {
      signal.throwIfAborted();
      this.#set(job, "verifying");
      await this.#world.pause(wait, signal);
      answer = await api.status(job.uploadId, signal);
    }
    return answer;
  }

  async #sendBytes(
    job: Job,
    answer: Extract<UploadAnswer, { state: "open" }>,
    signal: AbortSignal,
  ): Promise<CompletedPart[]> {
    const { api } = this.#world;
    if (answer.mode === "single") {
      if (answer.parts.length > 0) return [];
      const first = answer.signed ?? null;
      await this.#sendBody(
        job,
        job.file,
        0,
        first,
        () => api.sign(job.uploadId, job.sha256!, null, signal),
        signal,
      );
      return [];
    }

    const there = new Map(answer.parts.map((part) => [part.number, part.size]));
    const completed: CompletedPart[] = [];
    for (let number = 1; number <= answer.part_count; number += 1) {
      const offset = (number - 1) * answer.part_size;
      const body = job.file.slice(offset, offset + answer.part_size);
      const checksum = await this.#readable(() => this.#world.hash(body, signal), signal);
      if (there.get(number) !== body.size) {
        const sign = () => api.sign(job.uploadId, checksum, number, signal);
        await this.#sendBody(job, body, offset, null, sign, signal);
      }
      completed.push({ number, checksum });
    }
    return completed;
  }

  /** Sends one body; a refusal of the URL is answered by one fresh URL, once. */
  async #sendBody(
    job: Job,
    body: Blob,
    offset: number,
    first: SignedRequest | null,
    sign: () => Promise<SignedRequest>,
    signal: AbortSignal,
  ): Promise<void> {
    const rate = new Rate(this.#world.now());
    const progress = (sent: number) => {
      job.view.sent_bytes = offset + Math.min(sent, body.size);
      job.view.bytes_per_second = rate.at(this.#world.now(), sent);
      this.#tell(job);
    };
    job.sent = true;
    let status = await this.#world.put(first ?? (await sign()), body, progress, signal);
    if (status === 403) status = await this.#world.put(await sign(), body, progress, signal);
    job.view.bytes_per_second = null;

    // 412: an object is there already, by an earlier request whose answer was lost. Whether it is the right one is
    // found out by completing.
    if ((status >= 200 && status < 300) || status === 412) {
      job.view.sent_bytes = offset + body.size;
      job.storeFailures = 0;
      return;
    }
    if (status === 507) throw new BackendError("store_full", strings.errors.store_full);
    const passing = status === 0 || status === 429 || status >= 500;
    job.storeFailures += 1;
    if (passing && job.storeFailures < STORE_ATTEMPTS) {
      const reason = status === 0 ? strings.errors.offline : strings.errors.store_unavailable;
      throw new BackendError("store_unavailable", reason);
    }
    // A file that changed after it was read is refused for its checksum; reading it again may help.
    job.sha256 = null;
    throw new BackendError("store_refused", strings.errors.store_refused);
  }

  async #readable<T>(read: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await read();
    } catch (thrown) {
      signal.throwIfAborted();
      throw new BackendError("file_unreadable", strings.errors.file_unreadable, { cause: thrown });
    }
  }

  #conclude(job: Job, answer: UploadAnswer): void {
    switch (answer.state) {
      case "published":
        job.view.image = answer.image;
        job.view.sent_bytes = job.sent ? job.file.size : 0;
        this.#set(job, job.sent ? "published" : "duplicate");
        if (job.sent) this.#listeners.published(answer.image);
        return;
      case "rejected":
        this.#set(job, "rejected", answer);
        return;
      case "aborted":
        this.#set(job, "failed", { code: "upload_aborted", message: strings.errors.upload_aborted });
        return;
      case "open":
      case "verifying":
        this.#set(job, "failed", { code: "bad_answer", message: strings.errors.bad_answer });
    }
  }

  #set(job: Job, state: UploadState, error: { code: string; message: string } | null = null): void {
    job.view.state = state;
    job.view.error = error === null ? null : { code: error.code, message: error.message };
    if (state !== "uploading") job.view.bytes_per_second = null;
    this.#tell(job);
  }

  #tell(job: Job): void {
    this.#untold.add(job);
    this.#teller ??= setTimeout(() => {
      this.#teller = null;
      const views = [...this.#untold].map((told) => ({ ...told.view }));
      this.#untold.clear();
      this.#listeners.changed(views);
    }, TELL_EVERY);
  }
}

function isOver(state: UploadState): boolean {
  return ["published", "duplicate", "rejected", "failed", "cancelled"].includes(state);
}
