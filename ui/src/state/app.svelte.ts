//! The whole of what is on the screen, beside what single screens keep to themselves.

import { asBackendError, MAX_PICTURES, sentence, told, type Backend } from "../ipc/backend";
import type {
  AppState,
  Question,
  DeletionFailure,
  FileDrag,
  Image,
  IntakeView,
  Picture,
  ServerView,
  ViewError,
  Wanted,
} from "../ipc/types";
import { hurryWhenLeaving, Turns } from "../ipc/turns";
import { strings } from "../strings";
import { DEFAULT_DENSITY, DENSITIES } from "./density";
import { Deletion } from "./deletion";
import { Gallery } from "./gallery.svelte";
import { NOTHING } from "./selection";
import { indexOf } from "./timeline";
import { hasEnded, hasFailed, takenInText } from "./upload-list";
import { Uploads } from "./uploads.svelte";

export const SETTINGS_SECTIONS = ["gallery", "uploads", "storage", "desktop", "general", "doctor"] as const;
export type SettingsSection = (typeof SETTINGS_SECTIONS)[number];

const REOPEN_KEY = "imgn.settings";
const CAPTIONS_KEY = "imgn.captions";
const DENSITY_KEY = "imgn.density";

/** For how long it is told what was done, and what went wrong, in milliseconds. */
const NOTICE_TIME = 3000;
const FAILURE_TIME = 8000;

/** So many pictures are downloaded at once at most: each may be a dialog, or a question of the browser's. */
const MOST_DOWNLOADS = 50;

/** What is still to be known of a picture that is deleted: that many wait for it costs little. */
export interface Doomed {
  readonly id: string;
  readonly sequence: number;
  readonly file_name: string;
}

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
  /** How often the gallery may have got other pictures. */
  changes = $state(0);
  /** What the viewer shows; it need not be in the grid. */
  viewing = $state.raw<Picture | null>(null);
  /** The viewed picture's place in the grid; -1 when it has none. */
  readonly viewedIndex = $derived.by(() =>
    this.viewing === null ? -1 : indexOf(this.gallery.timeline, this.viewing.sequence),
  );
  captions = $state(localStorage.getItem(CAPTIONS_KEY) === "shown");
  /** How large the grid's pictures are, as an index of `DENSITIES`. */
  density = $state(storedDensity());
  /** What is deleted unless somebody undoes it. */
  undoable = $state.raw<readonly Doomed[] | null>(null);
  /** What is shown nowhere any more: it is that, or is just being deleted. */
  leaving = $state.raw<readonly Doomed[]>([]);
  /** Whether the pictures that hover over the window are this window's own. */
  draggingOut = false;
  /** What was done last, and until when that is told, in milliseconds since 1970; the number tells two equal ones apart. */
  notice = $state.raw<{ number: number; text: string; failed: boolean; until: number } | null>(null);
  /** Files that wait for a token; null when no token is asked for. */
  unsigned = $state.raw<readonly File[] | null>(null);

  /** The gallery that an address of another program's asks for, its name where it is known here, and a picture there. */
  connecting = $state.raw<{ server: string; name: string | null; image: string | null } | null>(null);
  /** The section of the settings that is shown; null when they are not. */
  settings = $state<SettingsSection | null>(takeReopened());
  /** Whether what was uploaded from here is shown. */
  historyOpen = $state(false);
  /** What may become public if somebody says so; null when nothing is asked. */
  asked = $state.raw<Question | null>(null);
  /** Pictures whose links are written in another way than usual; null when none are. */
  linking = $state.raw<readonly Image[] | null>(null);

  #notices = 0;
  /** What is being shown of what was asked for elsewhere. */
  #wanted: Promise<void> = Promise.resolve();
  /** Of stretches that are deleted, one after the other. */
  readonly #stretches = new Turns(1);
  readonly #deletion = new Deletion<Doomed>({
    hide: (pictures) => {
      this.leaving = [...this.leaving, ...pictures];
      this.gallery.hide(pictures.map(({ sequence }) => sequence));
    },
    show: (pictures) => this.#unhide(pictures),
    carryOut: (pictures) => this.#deleteForGood(pictures),
    pending: (pictures) => (this.undoable = pictures),
  });

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
      timelineChanged: () => {
        this.changes += 1;
        void this.gallery.refresh();
      },
      deletionFailed: (failure) => this.#tellRefused(failure),
      fileDrag: (drag) => this.hover(drag),
      linksCopied: (count) => this.tell(strings.linksCopied(count)),
      wantedChanged: () => this.#takeWanted(),
      askedChanged: () => void this.#takeAsked(),
      leaving: () => this.#deletion.flush(),
    });
    listening.then(
      () => void this.load(),
      (thrown: unknown) => this.#failed(thrown),
    );
    const leave = () => void this.#deletion.flush();
    const calm = hurryWhenLeaving(this.#stretches);
    addEventListener("pagehide", leave);
    return () => {
      calm();
      removeEventListener("pagehide", leave);
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
      this.#takeWanted();
      await this.#takeAsked();
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  /** Shows the gallery that a change of the session led to. */
  entered(state: AppState): void {
    this.#enter(state);
  }

  hover({ phase, count }: FileDrag): void {
    if (this.draggingOut) return;
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

  /**
   * Uses a token for the gallery that is shown, and takes in the files that waited for one. Rejects when the gallery or the
   * keyring does not take it.
   */
  async signIn(token: string, forNow: boolean): Promise<void> {
    const { session } = this.backend;
    const url = this.server?.url;
    if (url === undefined) return;
    if (session.kind === "web") this.#enter(await session.signIn(token));
    else this.#enter(await (forNow ? session.connectForNow(url, token) : session.connect(url, token)));
    const files = this.unsigned ?? [];
    this.unsigned = null;
    await this.addFiles(files);
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

  /** Uploads what is on the clipboard. */
  async paste(): Promise<void> {
    const { intake } = this.backend;
    if (intake.kind === "native" && this.server !== null) await this.#take(intake.paste());
  }

  async #take(taking: Promise<IntakeView | null>): Promise<void> {
    await this.attempt(taking.then((taken) => this.#tellTaken(taken)));
  }

  /** Says what was left alone, and nothing where that is nothing: the panel shows what is on its way. */
  #tellTaken(taken: IntakeView | null): void {
    if (taken === null) return;
    const text = takenInText(taken);
    const isNothing = taken.pictures === 0 && taken.refused === 0;
    if (text !== null) this.tell(text, isNothing || taken.unreadable.length > 0);
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
    const until = Date.now() + (failed ? FAILURE_TIME : NOTICE_TIME);
    this.notice = { number: this.#notices, text, failed, until };
  }

  /** Shows a picture that may not be in the grid: one of a link, or of an upload. */
  async view(id: string): Promise<void> {
    await this.attempt(
      this.backend.picture(id).then((picture) => {
        if (picture === null) this.tell(strings.pictureGone, true);
        else this.viewing = picture;
      }),
    );
  }

  /** Shows the picture next to the viewed one. */
  async move(by: -1 | 1): Promise<void> {
    const { timeline, rows } = this.gallery;
    const from = this.viewing;
    if (from === null || this.viewedIndex < 0) return;
    const index = this.viewedIndex + by;
    if (index < 0 || index >= timeline.sequences.length) return;
    await this.attempt(
      rows.at(timeline, index).then((picture) => {
        if (picture !== null && this.viewing === from) this.viewing = picture;
      }),
    );
  }

  /** In the chosen format, where there is a choice. */
  copyImages(images: readonly Image[]): Promise<void> {
    const { links } = this.backend;
    if (links === null) return this.backend.copyLink(images.map(({ url }) => url).join("\n"));
    return links.copy(
      images.map(({ id }) => id),
      null,
      null,
    );
  }

  async copyLinks(pictures: readonly Picture[]): Promise<void> {
    if (await this.attempt(this.copyImages(pictures.map(({ image }) => image))))
      this.tell(strings.linksCopied(pictures.length));
  }

  /** Lets the format of the links be chosen, and what they say of the picture. */
  async linkSelected(): Promise<void> {
    if (this.gallery.selectedCount > MAX_PICTURES) this.tell(strings.tooManyLinks(MAX_PICTURES), true);
    else
      await this.#withSelected((pictures) =>
        Promise.resolve(void (this.linking = pictures.map(({ image }) => image))),
      );
  }

  async copySelectedLinks(): Promise<void> {
    if (this.gallery.selectedCount > MAX_PICTURES) this.tell(strings.tooManyLinks(MAX_PICTURES), true);
    else await this.#withSelected((pictures) => this.copyLinks(pictures));
  }

  /** Saves them: one as a file, several into a folder. */
  async download(pictures: readonly Picture[]): Promise<void> {
    // Nobody is asked for a place that nothing can come to.
    const isOffline = this.backend.offline !== null && this.server?.reachable === false;
    const here = pictures.filter(({ original_here }) => !isOffline || original_here);
    const missing = pictures.find((picture) => !here.includes(picture));
    await this.attempt(
      (async () => {
        if (here.length > 0) {
          const { path, saved, failed } = await this.backend.download(here.map(({ image }) => image));
          // In a browser, or the dialog was closed.
          if (path === null) return;
          const [first] = failed;
          const said: string[] = [];
          if (first !== undefined) said.push(strings.savedSome(saved, failed.length, told(first)));
          else said.push(here.length === 1 ? strings.savedTo(path) : strings.savedInto(saved, path));
          if (missing !== undefined) said.push(strings.downloadOffline(missing.image.file_name));
          this.tell(
            said.length > 1 ? said.map(sentence).join(" ") : said[0]!,
            said.length > 1 || first !== undefined,
          );
        } else if (missing !== undefined) this.tell(strings.downloadOffline(missing.image.file_name), true);
      })(),
    );
  }

  async downloadSelected(): Promise<void> {
    if (this.gallery.selectedCount > MOST_DOWNLOADS) {
      this.tell(strings.tooManyDownloads(MOST_DOWNLOADS), true);
      return;
    }
    await this.#withSelected((pictures) => this.download(pictures));
  }

  /** Keeps the originals on this computer, or no longer. */
  async keep(pictures: readonly Picture[], keep: boolean): Promise<void> {
    if (await this.attempt(this.#keep(pictures, keep))) this.#tellKept(pictures.length, keep);
  }

  async keepSelected(): Promise<void> {
    let count = 0;
    const isDone = await this.#withSelected(async (pictures) => {
      await this.#keep(pictures, true);
      count += pictures.length;
    });
    if (isDone) this.#tellKept(count, true);
  }

  async #keep(pictures: readonly Picture[], keep: boolean): Promise<void> {
    await this.backend.offline?.keep(
      pictures.map(({ image }) => image.id),
      keep,
    );
    for (const picture of pictures) {
      const now = { ...picture, kept: keep, original_here: keep && picture.original_here };
      this.gallery.rows.replace(now);
      if (this.viewing?.sequence === now.sequence) this.viewing = now;
    }
  }

  /** Asks whether what is known of a picture is still so, and shows what is. */
  async lookAgain(picture: Picture): Promise<void> {
    const now = await this.backend.picture(picture.image.id).catch(() => null);
    if (now === null || (now.kept === picture.kept && now.original_here === picture.original_here)) return;
    this.gallery.rows.replace(now);
    if (this.viewing?.sequence === now.sequence) this.viewing = now;
  }

  #tellKept(count: number, keep: boolean): void {
    this.tell(keep ? strings.keptOffline(count) : strings.notKeptOffline(count));
  }

  /** Deletes them unless it is undone; the viewer goes on to what stands next. */
  async delete(pictures: readonly Picture[]): Promise<void> {
    const viewed = this.viewing;
    if (viewed !== null && pictures.some(({ sequence }) => sequence === viewed.sequence)) {
      const { timeline, rows } = this.gallery;
      const index = this.viewedIndex;
      const beside = timeline.sequences.length > index + 1 ? index + 1 : index - 1;
      const next = index < 0 || beside < 0 ? null : await rows.at(timeline, beside).catch(() => null);
      if (this.viewing === viewed) this.viewing = next;
    }
    this.#deletion.start(pictures.map(asDoomed));
  }

  /** The same with what is known by its name and place alone. */
  deleteDoomed(doomed: readonly Doomed[]): void {
    this.#deletion.start(doomed);
  }

  /** The same with all that are selected. */
  async deleteSelected(): Promise<void> {
    const doomed: Doomed[] = [];
    const isDone = await this.#withSelected(async (pictures) => void doomed.push(...pictures.map(asDoomed)));
    if (isDone) this.#deletion.start(doomed);
  }

  undoDeletion(): void {
    this.#deletion.undo();
  }

  deleteNow(): void {
    void this.#deletion.flush();
  }

  clearSelection(): void {
    this.gallery.selection = NOTHING;
  }

  zoomGrid(by: number): void {
    this.density = Math.min(DENSITIES.length - 1, Math.max(0, this.density + by));
    localStorage.setItem(DENSITY_KEY, String(this.density));
  }

  /**
   * Does something with all selected pictures, one stretch of them after the other, and tells when it fails. Whether it
   * came to its end: it does not when another gallery is shown meanwhile.
   */
  async #withSelected(act: (stretch: Picture[]) => Promise<void>): Promise<boolean> {
    const url = this.server?.url;
    const doing = async () => {
      for await (const stretch of this.gallery.selected()) {
        if (this.server?.url !== url) return;
        await act(stretch);
      }
    };
    return (await this.attempt(doing())) && this.server?.url === url;
  }

  async #deleteForGood(doomed: readonly Doomed[]): Promise<void> {
    const failures: { name: string; message: string }[] = [];
    await Promise.all(
      stretchesOf(doomed).map((stretch) =>
        this.#stretches.take(() => this.#deleteStretch(stretch, failures)),
      ),
    );
    const [first] = failures;
    if (first !== undefined)
      this.tell(strings.deletionFailed(first.name, failures.length, first.message), true);
    // The list without them first, or they would come back for a moment.
    await this.gallery.refreshNow();
    this.#unhide(doomed);
  }

  /** They are undone, or deleted: the gallery is shown as it is. */
  #unhide(doomed: readonly Doomed[]): void {
    const settled = new Set(doomed);
    this.leaving = this.leaving.filter((picture) => !settled.has(picture));
    this.gallery.unhide(doomed.map(({ sequence }) => sequence));
  }

  /** Never rejects: what could not be deleted is added to `failures`. */
  async #deleteStretch(
    stretch: readonly Doomed[],
    failures: { name: string; message: string }[],
  ): Promise<void> {
    const names = new Map(stretch.map(({ id, file_name }) => [id, file_name]));
    try {
      const { failed } = await this.backend.deleteImages([...names.keys()]);
      for (const { id, error } of failed) failures.push({ name: names.get(id) ?? "", message: told(error) });
    } catch (thrown) {
      const { message } = asBackendError(thrown, strings.errors.unexpected);
      for (const name of names.values()) failures.push({ name, message });
    }
  }

  #tellRefused({ file_name, error }: DeletionFailure): void {
    this.tell(strings.deletionFailed(file_name, 1, told(error)), true);
  }

  showCaptions(shown: boolean): void {
    this.captions = shown;
    localStorage.setItem(CAPTIONS_KEY, shown ? "shown" : "hidden");
  }

  /** Shows what was asked for elsewhere, one after the other. What is being asked about stays what it is. */
  #takeWanted(): void {
    this.#wanted = this.#wanted.then(async () => {
      const { desktop } = this.backend;
      await this.attempt(
        (async () => {
          while (desktop !== null && this.connecting === null) {
            const wanted = await desktop.takeWanted();
            if (wanted === null) return;
            await this.#show(wanted);
          }
        })(),
      );
    });
  }

  async #show(wanted: Wanted): Promise<void> {
    switch (wanted.kind) {
      case "settings":
        this.settings ??= "gallery";
        break;
      case "image":
        if (wanted.server === null || sameServer(wanted.server, this.server?.url)) await this.view(wanted.id);
        else await this.#askToConnect(wanted.server, wanted.id);
        break;
      case "connect":
        if (!sameServer(wanted.server, this.server?.url)) await this.#askToConnect(wanted.server, null);
        break;
      case "token":
        if (sameServer(wanted.server, this.server?.url)) this.unsigned ??= [];
        break;
      case "intake":
        this.#tellTaken(wanted.intake);
        break;
      case "failure":
        this.tell(sentence(wanted.message), true);
    }
  }

  async #askToConnect(server: string, image: string | null): Promise<void> {
    const { session } = this.backend;
    // Where nobody says, it is asked as of a stranger's.
    const galleries = session.kind === "desktop" ? await session.galleries().catch(() => []) : [];
    const known = galleries.find(({ url }) => sameServer(url, server));
    this.connecting = { server, name: known ? serverName(known) : null, image };
  }

  async #takeAsked(): Promise<void> {
    this.asked = (await this.backend.desktop?.asked()) ?? null;
  }

  /** Asks how things stand, for who looks at that. */
  async look(): Promise<void> {
    await this.attempt(this.backend.state().then((state) => this.#enter(state)));
  }

  /** Says whether what was asked about may become public. */
  async answer(asked: Question, mayPublish: boolean): Promise<void> {
    this.asked = null;
    const { desktop } = this.backend;
    if (desktop !== null) await this.attempt(desktop.answerAsked(asked.id, mayPublish));
  }

  /** Asks before every upload from now on, or no longer. */
  async askAlways(always: boolean): Promise<void> {
    const { general } = this.backend;
    const chosen = general
      .get()
      .then((preferences) => general.set({ ...preferences, ask: always ? "always" : "first" }));
    await this.attempt(chosen);
  }

  /** Loads the page again in another language, and comes back to where somebody chose it. */
  reload(): void {
    if (this.settings !== null) sessionStorage.setItem(REOPEN_KEY, this.settings);
    location.reload();
  }

  /** Goes where an address of another program's led, after somebody said so. */
  async connectAsked(): Promise<void> {
    const { session } = this.backend;
    const asked = this.connecting;
    this.connecting = null;
    if (asked !== null && session.kind === "desktop") {
      const connected = session.visit(asked.server).then((state) => this.entered(state));
      if ((await this.attempt(connected)) && asked.image !== null) await this.view(asked.image);
    }
    this.#takeWanted();
  }

  /** Stays at this gallery. */
  stayHere(): void {
    this.connecting = null;
    this.#takeWanted();
  }

  #failed(thrown: unknown): void {
    this.error = asBackendError(thrown, strings.errors.unexpected).view();
  }

  #enter(state: AppState): void {
    // An answer may come after the news of what is no longer so.
    if (this.app !== null && state.revision < this.app.revision) return;
    const before = this.server;
    this.app = state;
    this.error = null;
    const now = state.server;
    if (now === null) {
      this.viewing = null;
      this.unsigned = null;
      return;
    }
    const another = before?.url !== now.url;
    const back = before?.reachable === false && now.reachable && this.gallery.phase === "failed";
    if (another && before !== null) {
      this.viewing = null;
      // They were about the other gallery.
      this.unsigned = null;
      this.#deletion.undo();
      void this.attempt(this.uploads.restart());
    }
    if (another || back) void this.gallery.reload();
  }
}

const asDoomed = ({ image, sequence }: Picture): Doomed => ({
  id: image.id,
  sequence,
  file_name: image.file_name,
});

function stretchesOf<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / MAX_PICTURES) }, (_, at) =>
    all.slice(at * MAX_PICTURES, (at + 1) * MAX_PICTURES),
  );
}

function storedDensity(): number {
  const stored = Number(localStorage.getItem(DENSITY_KEY) ?? DEFAULT_DENSITY);
  return Number.isInteger(stored) && stored >= 0 && stored < DENSITIES.length ? stored : DEFAULT_DENSITY;
}

/** Before the page was loaded again. */
function takeReopened(): SettingsSection | null {
  if (typeof sessionStorage === "undefined") return null;
  const stored = sessionStorage.getItem(REOPEN_KEY);
  sessionStorage.removeItem(REOPEN_KEY);
  return SETTINGS_SECTIONS.find((section) => section === stored) ?? null;
}

function sameServer(one: string, other: string | undefined): boolean {
  const plain = (url: string) => url.replace(/\/+$/, "");
  return other !== undefined && plain(one) === plain(other);
}

/** The server's name for people. */
export function serverName(server: Pick<ServerView, "local" | "name" | "url">): string {
  if (server.name !== "") return server.name;
  return server.local ? strings.localGallery : hostOf(server.url);
}

/** An address for people. */
export function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
