//! The whole of what is on the screen, beside what single screens keep to themselves.

import { asBackendError, type Backend } from "../ipc/backend";
import type { AppState, FileDrag, IntakeView, ServerView, ViewError } from "../ipc/types";
import { strings } from "../strings";
import { Gallery } from "./gallery.svelte";
import { hasEnded, hasFailed, takenInText } from "./upload-list";
import { Uploads } from "./uploads.svelte";

const CAPTIONS_KEY = "imgn.captions";

export class AppModel {
  readonly backend: Backend;
  readonly gallery: Gallery;
  readonly uploads: Uploads;

  app = $state.raw<AppState | null>(null);
  /** Why the app itself did not answer. */
  error = $state<ViewError | null>(null);
  /** Files that hover over the window; null when none do. */
  drag = $state.raw<{ count: number } | null>(null);
  panelOpen = $state(false);
  viewing = $state<string | null>(null);
  captions = $state(localStorage.getItem(CAPTIONS_KEY) === "shown");
  /** What was done last, in words; the number tells two equal ones apart. */
  notice = $state.raw<{ number: number; text: string; failed: boolean } | null>(null);
  /** Files that wait for a token; null when no token is asked for. */
  unsigned = $state.raw<readonly File[] | null>(null);

  #notices = 0;

  constructor(backend: Backend) {
    this.backend = backend;
    this.gallery = new Gallery(backend);
    this.uploads = new Uploads(backend);
  }

  get server(): ServerView | null {
    return this.app?.server ?? null;
  }

  /** Whether pictures may be added and deleted as things stand. */
  get mayWrite(): boolean {
    return this.server?.signed_in === true;
  }

  /** Starts listening, then asks for everything, so that no change falls between the two; the result stops listening. */
  start(): () => void {
    const listening = this.backend.listen({
      stateChanged: (state) => this.#enter(state),
      uploadsChanged: (changed) => {
        const before = this.uploads.list.length;
        this.uploads.apply(changed);
        // New work shows itself, where there is room beside the pictures; so does a file that is refused at once.
        const telling = changed.some((upload) => !hasEnded(upload) || hasFailed(upload));
        if (this.uploads.list.length > before && telling && innerWidth >= 640) this.panelOpen = true;
      },
      galleryChanged: (change) => this.gallery.apply(change),
      fileDrag: (drag) => this.hover(drag),
      takenIn: (intake) => this.#tellTaken(intake),
    });
    listening.then(
      () => void this.load(),
      (thrown: unknown) => this.#failed(thrown),
    );
    return () => {
      listening.then(
        (stop) => stop(),
        () => undefined,
      );
    };
  }

  async load(): Promise<void> {
    this.error = null;
    try {
      this.#enter(await this.backend.state());
      await this.uploads.load();
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  /** Shows the gallery that a change of the session led to. */
  entered(state: AppState): void {
    this.#enter(state);
  }

  hover({ phase, count }: FileDrag): void {
    if (phase === "leave" || phase === "drop") this.drag = null;
    else if (phase === "enter" || this.drag === null) this.drag = { count };
    else if (count > 0 && count !== this.drag.count) this.drag = { count };
  }

  /** Files that were dropped on or chosen in this page. */
  async addFiles(files: readonly File[]): Promise<void> {
    const { intake, session } = this.backend;
    if (files.length === 0 || intake.kind !== "browser" || session.kind !== "web") return;
    try {
      if (await session.mayUpload()) intake.add(files);
      else this.unsigned = files;
    } catch (thrown) {
      this.tell(asBackendError(thrown, strings.errors.unexpected).message, true);
    }
  }

  /** Opens the app's own file dialog. */
  async pickFiles(): Promise<void> {
    const { intake } = this.backend;
    if (intake.kind === "native") await this.#take(intake.pick());
  }

  /** The same for folders: all pictures in them go up. */
  async pickFolders(): Promise<void> {
    const { intake } = this.backend;
    if (intake.kind === "native") await this.#take(intake.pickFolders());
  }

  async #take(taking: Promise<IntakeView>): Promise<void> {
    await this.attempt(taking.then((taken) => this.#tellTaken(taken)));
  }

  /** Says what was left alone, and nothing where that is nothing: the panel shows what is on its way. */
  #tellTaken(taken: IntakeView): void {
    const text = takenInText(taken);
    if (text !== null) this.tell(text, taken.unreadable.length > 0);
  }

  /** Does what somebody asked for and tells them when it fails. */
  async attempt(doing: Promise<unknown>): Promise<boolean> {
    try {
      await doing;
      return true;
    } catch (thrown) {
      this.tell(asBackendError(thrown, strings.errors.unexpected).message, true);
      return false;
    }
  }

  tell(text: string, failed = false): void {
    this.#notices += 1;
    this.notice = { number: this.#notices, text, failed };
  }

  showCaptions(shown: boolean): void {
    this.captions = shown;
    localStorage.setItem(CAPTIONS_KEY, shown ? "shown" : "hidden");
  }

  #failed(thrown: unknown): void {
    this.error = asBackendError(thrown, strings.errors.unexpected).view();
  }

  #enter(state: AppState): void {
    const before = this.server;
    this.app = state;
    this.error = null;
    const now = state.server;
    if (now === null) {
      this.viewing = null;
      return;
    }
    const another = before?.url !== now.url;
    const back = before?.reachable === false && now.reachable && this.gallery.phase === "failed";
    if (another) this.viewing = null;
    if (another || back) void this.gallery.reload();
  }
}

/** The server's name for people. */
export function serverName(server: ServerView): string {
  if (server.local) return strings.localGallery;
  try {
    return new URL(server.url).host;
  } catch {
    return server.url;
  }
}
