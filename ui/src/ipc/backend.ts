//! The one interface behind the screens. Its makers are the desktop app (`tauri.ts`), a server over HTTP (`http.ts`)
//! and a made-up gallery for design work (`fake.ts`).
//!
//! Invariant: every promise here rejects with a `BackendError` and with nothing else.

import { strings } from "../strings";
import type {
  AppState,
  Question,
  Check,
  DeletionFailure,
  DeletionView,
  DesktopPreferences,
  DownloadView,
  FileDrag,
  GalleryView,
  GeneralPreferences,
  HistoryEntry,
  Image,
  IntakeView,
  LinkPreferences,
  OfflineView,
  Picture,
  Timeline,
  UploadPreferences,
  UploadView,
  ViewError,
  Wanted,
} from "./types";

/**
 * A thumbnail's longest edge in pixels, or the file as it was uploaded. 2560 is there only for pictures with a
 * `display_url`, whose original nothing here can paint.
 */
export type PictureSize = 320 | 1280 | 2560 | "original";

/** What a backend tells without being asked. */
export interface BackendEvents {
  stateChanged(state: AppState): void;
  /** Only the uploads that changed. */
  uploadsChanged(uploads: UploadView[]): void;
  /** The timeline is not what it was; told at most twice a second. */
  timelineChanged(): void;
  /** A queued deletion was refused; the picture is back in the timeline. */
  deletionFailed(failure: DeletionFailure): void;
  fileDrag(drag: FileDrag): void;
  /** What came of files and folders that were dropped on the app's window. */
  /** The program ends as soon as this resolves, or a second later: what must not be lost is said now. */
  leaving(): Promise<void>;
  /** There is something to take with `takeWanted`. */
  wantedChanged(): void;
  /** What `Desktop.asked` answers is something else now. */
  askedChanged(): void;
  /** The links to so many pictures are on the clipboard. */
  linksCopied(count: number): void;
}

/** How files come in. */
export type Intake =
  /** The app's own file dialog; dropped files are taken outside of the web view, which never learns a path. */
  | {
      readonly kind: "native";
      /** Null where the dialog was closed. */
      pick(): Promise<IntakeView | null>;
      pickFolders(): Promise<IntakeView | null>;
      /** What is on the clipboard. */
      paste(): Promise<IntakeView>;
    }
  /** This page's files. */
  | { readonly kind: "browser"; add(files: readonly File[]): void };

/** Who decides which gallery is shown, and who may write to it. */
export type Session =
  | {
      readonly kind: "desktop";
      startLocalGallery(): Promise<AppState>;
      connect(server: string, token: string | null): Promise<AppState>;
      /** Of a link: with what the keyring has for it, and nothing that was meant for another gallery. */
      visit(server: string): Promise<AppState>;
      /** The same, with the token in memory and nowhere else. */
      connectForNow(server: string, token: string): Promise<AppState>;
      disconnect(): Promise<AppState>;
      /** Those that were chosen and not left. */
      galleries(): Promise<GalleryView[]>;
      switchTo(server: string): Promise<AppState>;
      /** By its address where the name is empty. */
      rename(server: string, name: string): Promise<void>;
      /** One that is not shown. */
      forget(server: string): Promise<void>;
    }
  | {
      readonly kind: "web";
      /** Whether uploads are let in as things stand; a server may let everybody. */
      mayUpload(): Promise<boolean>;
      /** Whether a token was entered here. */
      hasToken(): boolean;
      signIn(token: string): Promise<AppState>;
      signOut(): Promise<AppState>;
    };

/** What somebody chose for all uploads. */
export interface UploadSettings {
  get(): Promise<UploadPreferences>;
  /** Takes effect at once, also for what is on its way. */
  set(preferences: UploadPreferences): Promise<void>;
}

/** What somebody chose for the app as a whole. The web page looks at theme and language only. */
export interface GeneralSettings {
  get(): Promise<GeneralPreferences>;
  /** Takes effect at once; the language when the page is loaded again. */
  set(preferences: GeneralPreferences): Promise<void>;
}

/** What was uploaded from this computer. */
export interface History {
  /** The newest first; those before an entry, by its upload. At most `HISTORY_PAGE`. */
  page(search: string, before: string | null): Promise<HistoryEntry[]>;
  copyLink(entry: HistoryEntry): Promise<void>;
  /** Forgets these by their uploads, or all; the pictures stay. */
  forget(uploads: string[] | null): Promise<void>;
}

/** So many entries of the history are asked for at once. */
export const HISTORY_PAGE = 100;

/** Links as they are written where people write. */
export interface Links {
  preferences(): Promise<LinkPreferences>;
  /** From the next link on. */
  setPreferences(preferences: LinkPreferences): Promise<void>;
  /** What a format makes of some picture; rejects where it is none. */
  example(format: string): Promise<string>;
  /** A line a picture; in the chosen format where it is null. `alt` stands in for the pictures' names. */
  make(ids: string[], format: string | null, alt: string | null): Promise<string>;
  /** The same, onto the clipboard. */
  copy(ids: string[], format: string | null, alt: string | null): Promise<void>;
}

/** The app beside other programs. */
export interface Desktop {
  preferences(): Promise<DesktopPreferences>;
  /** Takes effect at once. */
  setPreferences(preferences: DesktopPreferences): Promise<void>;
  /** Asks once more for the key that is chosen and is not had. */
  takeKeyAgain(): Promise<void>;
  /** Whether the key does nothing for now, because somebody chooses one by pressing it. */
  suspendKey(isSuspended: boolean): Promise<void>;
  /** What the window is to show next because somebody asked for it elsewhere; each is answered once. */
  takeWanted(): Promise<Wanted | null>;
  /** Looks whether all that the app needs is there. */
  examine(): Promise<Check[]>;
  /** What is about to become public, if somebody says so. */
  asked(): Promise<Question | null>;
  answerAsked(id: number, mayPublish: boolean): Promise<void>;
  /** What an `<img>` may have as its source, for a picture of a question. */
  askedUrl(id: number, index: number): string;
}

/** Originals on this computer. */
export interface OfflineFiles {
  keep(ids: string[], keep: boolean): Promise<void>;
  keepAll(keep: boolean): Promise<void>;
  state(): Promise<OfflineView>;
  setCacheLimit(bytes: number): Promise<void>;
}

/** The most pictures that are asked for at once. */
export const MAX_PICTURES = 500;

export interface Backend {
  readonly intake: Intake;
  readonly session: Session;
  state(): Promise<AppState>;
  timeline(search: string): Promise<Timeline>;
  /** Those from `start` to before `end`, in the order asked; null: it is gone meanwhile. At most `MAX_PICTURES`. */
  pictures(timeline: Timeline, start: number, end: number): Promise<(Picture | null)[]>;
  /** One by its id; null when the gallery has none. */
  picture(id: string): Promise<Picture | null>;
  /** Offline it is queued and carried out later; in either case they are gone from the timeline at once. */
  deleteImages(ids: string[]): Promise<DeletionView>;
  /** None on the web page, which keeps what was seen and nothing else. */
  readonly offline: OfflineFiles | null;
  /** The app asks where to: for a file of one, for a folder of several. */
  download(images: readonly Image[]): Promise<DownloadView>;
  /** Drags them out of the window for as long as the button is pressed, as files too. Null where the page does it itself. */
  readonly dragOut: ((images: readonly Image[]) => Promise<void>) | null;
  uploads(): Promise<UploadView[]>;
  cancelUpload(id: string): Promise<void>;
  retryUpload(id: string): Promise<void>;
  pauseUpload(id: string): Promise<void>;
  resumeUpload(id: string): Promise<void>;
  /** Puts it before all others. */
  moveUploadToTop(id: string): Promise<void>;
  /** All that has not ended. */
  pauseUploads(): Promise<void>;
  resumeUploads(): Promise<void>;
  cancelUploads(): Promise<void>;
  /** All that failed. */
  retryUploads(): Promise<void>;
  /** None on the web page, which keeps nothing. */
  readonly uploadSettings: UploadSettings | null;
  /** All, or one of them. */
  clearFinishedUploads(only: string | null): Promise<void>;
  /** Which of these pictures are in the gallery no more. */
  gone(images: readonly Image[]): Promise<readonly string[]>;
  copyLink(text: string): Promise<void>;
  /** None on the web page. */
  readonly desktop: Desktop | null;
  /** None on the web page, which gives out addresses. */
  readonly links: Links | null;
  readonly general: GeneralSettings;
  /** None on the web page, which is forgotten with its tab. */
  readonly history: History | null;
  /** What an `<img>` may have as its source. */
  pictureUrl(image: Image, size: PictureSize): string;
  /** Starts telling: nothing that happens after the promise is fulfilled is missed. Its value stops it. */
  listen(events: BackendEvents): Promise<() => void>;
}

/** Why something did not work: a code for programs and a message for people. */
export class BackendError extends Error implements ViewError {
  override readonly name = "BackendError";
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  view(): ViewError {
    return { code: this.code, message: this.message };
  }
}

/** Whatever was thrown, as a `BackendError`. */
export function asBackendError(thrown: unknown, unexpected: string): BackendError {
  if (thrown instanceof BackendError) return thrown;
  if (isViewError(thrown)) return new BackendError(thrown.code, told(thrown) || unexpected);
  return new BackendError("unexpected", unexpected, { cause: thrown });
}

/** A failure as a sentence in the language that is shown. */
export function told({ code, message }: ViewError): string {
  return sentence(strings.failed(code, message));
}

/** A message of the core as a sentence: those begin and end as parts of a terminal's line do. Names stay as they are. */
export function sentence(message: string): string {
  const begun = /^[a-z]+[ ,;]/.test(message) ? message[0]!.toUpperCase() + message.slice(1) : message;
  return /[\p{L}\p{N})\]]$/u.test(begun) ? `${begun}.` : begun;
}

function isViewError(value: unknown): value is ViewError {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as ViewError).code === "string" &&
    typeof (value as ViewError).message === "string"
  );
}
