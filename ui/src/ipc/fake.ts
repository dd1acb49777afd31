//! A made-up gallery for design work in a plain browser (`npm run design`). The address chooses the scene:
//! `?scene=first-start|empty|error|offline|failing|filling|local|web|slow|asked`, `?pictures=1000000`, `?uploads=10000`, and `?live=3` for
//! a new picture every three seconds. `?thumbs=/folder/` paints 0.jpg to 99.jpg of that folder instead of landscapes, which
//! cost more than photographs do. `fake` in the console brings about what only the app can.

import { storedLook, storeLook } from "../look";
import type { Backend, BackendEvents } from "./backend";
import { BackendError, HISTORY_PAGE } from "./backend";
import { FakeGallery } from "./fake-gallery";
import { madeUpChecks, madeUpEntry, madeUpGalleries, madeUpQuestion, madeUpServer } from "./fake-desktop";
import { indexOfId, madeUpImage, madeUpPicture } from "./fake-pictures";
import type {
  AppState,
  Question,
  GeneralPreferences,
  IntakeView,
  MirrorView,
  Picture,
  DesktopPreferences,
  LinkPreferences,
  UploadPreferences,
  UploadState,
  UploadView,
} from "./types";
import { uuidV7 } from "./uuid";

const ENDED: readonly UploadState[] = ["published", "duplicate", "rejected", "failed", "cancelled"];

const takenIn = (pictures: number, other_files: number): IntakeView => ({
  pictures,
  refused: 0,
  other_files,
  linked_folders: 0,
  unreadable: [],
  withheld: false,
});

/** One of many, in whatever state. */
function madeUpUpload(index: number): UploadView {
  const size = 900_000 + ((index * 7919) % 13) * 700_000;
  const states: UploadState[] = [
    "published",
    "uploading",
    "paused",
    "waiting",
    "failed",
    "queued",
    "verifying",
  ];
  const state = index < states.length ? states[index]! : "queued";
  const reasons: Partial<Record<UploadState, UploadView["error"]>> = {
    waiting: {
      code: "file_missing",
      message: "the file is not there any more; put it back, and the upload goes on by itself",
    },
    failed: { code: "store_refused", message: "The store did not take the file (access denied). Try again." },
  };
  return {
    id: uuidV7(),
    file_name: `IMG_${String(index + 1).padStart(4, "0")}.jpg`,
    state,
    size,
    sent_bytes: state === "uploading" || state === "paused" ? size / 3 : 0,
    bytes_per_second: state === "uploading" ? 2_600_000 : null,
    image: state === "published" ? madeUpImage(index) : null,
    error: reasons[state] ?? null,
    position: index,
    location_removed: state === "published",
    started_anew: false,
  };
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export function fakeBackend(address: string): Backend {
  const options = new URLSearchParams(address);
  const scene = options.get("scene") ?? "gallery";
  const count = scene === "empty" ? 0 : Number(options.get("pictures") ?? 100_000);
  const gallery = new FakeGallery(count);
  const thumbs = options.get("thumbs");
  const kept = new Set<string>();
  let keepsAll = false;
  let cacheLimit = 2_000_000_000;
  let uploads: UploadView[] = [];
  let failing = scene === "error";
  let events: BackendEvents | null = null;
  let preferences: UploadPreferences = { keep_location: false, jobs: null, bytes_per_second: null };
  let desktopPreferences: DesktopPreferences = {
    keep_in_tray: true,
    start_minimised: false,
    autostart: false,
    notify: true,
    undo_seconds: 30,
    hotkey: "",
    hotkey_problem: null,
    editors: false,
    editors_port: 36677,
    editors_key: null,
    editors_problem: null,
  };
  let general: GeneralPreferences = { ...storedLook(), proxy: "system", ask: "first" };
  let asked: Question | null = scene === "asked" ? madeUpQuestion() : null;
  const madeUpHistory = Array.from({ length: 260 }, (_, index) => madeUpEntry(index));
  let linkPreferences: LinkPreferences = { format: "markdown", copy: true };
  let mirror: MirrorView = {
    phase: scene === "offline" || scene === "filling" || scene === "failing" ? scene : "live",
    known: scene === "filling" ? 0 : count,
    total: count,
    checked_at: new Date(Date.now() - (scene === "offline" ? 7_500_000 : 0)).toISOString(),
    pending_deletions: 0,
  };
  let state: AppState = {
    version: "0.1.0",
    revision: 0,
    server:
      scene === "first-start"
        ? null
        : {
            url: scene === "local" ? "http://127.0.0.1:41234" : "https://gallery.example.org",
            name: "",
            local: scene === "local",
            signed_in: scene !== "web",
            token_for_now: false,
            token_trouble: null,
            reachable: scene !== "offline",
            mirror,
          },
  };

  const enter = (next: AppState) => {
    state = next;
    events?.stateChanged(state);
    return state;
  };

  const update = (id: string, change: Partial<UploadView>) => {
    uploads = uploads.map((upload) => (upload.id === id ? { ...upload, ...change } : upload));
    const changed = uploads.find((upload) => upload.id === id);
    if (changed) events?.uploadsChanged([changed]);
    return changed;
  };

  const known = (id: string) => uploads.find((candidate) => candidate.id === id);
  /** Until it may go on; answers whether it still may. */
  const alive = async (id: string): Promise<boolean> => {
    while (known(id)?.state === "paused") await pause(100);
    return known(id) !== undefined && known(id)?.state !== "cancelled";
  };

  const upload = async (id: string, size: number, fate: number) => {
    if (!(await alive(id))) return;
    update(id, { state: "hashing" });
    await pause(300);
    for (let sent = 0; sent < size && (await alive(id)); sent += 400_000) {
      update(id, { state: "uploading", sent_bytes: sent, bytes_per_second: 2_600_000 });
      await pause(150);
    }
    if (!(await alive(id))) return;
    const location_removed = fate % 2 === 0;
    update(id, { state: "verifying", sent_bytes: size, bytes_per_second: null, location_removed });
    await pause(700);
    if (fate === 3) {
      const message =
        "The picture is cut off after 1.2 MB of 4.8 MB. Export it again and upload the new file.";
      update(id, { state: "rejected", error: { code: "corrupt_picture", message } });
      return;
    }
    const { image } = gallery.publish();
    update(id, { state: "published", image });
    events?.timelineChanged();
  };

  /** Of many at once, as the app tells them. */
  const updateAll = (change: (upload: UploadView) => Partial<UploadView> | null) => {
    const changed: UploadView[] = [];
    uploads = uploads.map((upload) => {
      const now = change(upload);
      if (now === null) return upload;
      changed.push({ ...upload, ...now });
      return changed.at(-1)!;
    });
    events?.uploadsChanged(changed);
  };
  const held = ({ state }: UploadView): Partial<UploadView> | null =>
    state === "queued" || state === "uploading" || state === "waiting"
      ? { state: "paused", bytes_per_second: null }
      : null;
  const released = ({ state }: UploadView): Partial<UploadView> | null =>
    state === "paused" ? { state: "queued" } : null;
  const only = (id: string, change: typeof held) => (upload: UploadView) =>
    upload.id === id ? change(upload) : null;

  const enqueue = (names: string[]) => {
    const added = names.map((name, index): UploadView => {
      const size = 900_000 + ((index * 7919) % 13) * 700_000;
      return {
        id: uuidV7(),
        file_name: name,
        state: "queued",
        size,
        sent_bytes: 0,
        bytes_per_second: null,
        image: null,
        error: null,
        position: 0,
        location_removed: false,
        started_anew: false,
      };
    });
    uploads = [...uploads, ...added];
    events?.uploadsChanged(added);
    for (const [index, view] of added.entries()) {
      setTimeout(() => void upload(view.id, view.size ?? 1, index), index * 900);
    }
    return added;
  };

  const some = Number(options.get("uploads") ?? 0);
  uploads = Array.from({ length: some }, (_, index) => madeUpUpload(index));

  const names = [
    "Harbour at dusk.jpg",
    "IMG_4821.jpg",
    "Screenshot 2026-05-04 at 12.30.11.png",
    "broken.jpg",
  ];
  const session: Backend["session"] =
    scene === "web"
      ? {
          kind: "web",
          mayUpload: () => Promise.resolve(state.server?.signed_in === true),
          hasToken: () => state.server?.signed_in === true,
          async signIn(token) {
            await pause(400);
            if (token !== "secret") throw new BackendError("unauthorized", "This token is not valid here.");
            return enter({ ...state, server: { ...state.server!, signed_in: true } });
          },
          signOut: () => Promise.resolve(enter({ ...state, server: { ...state.server!, signed_in: false } })),
        }
      : {
          kind: "desktop",
          async startLocalGallery() {
            await pause(600);
            const server = {
              ...madeUpServer("http://127.0.0.1:41234", true),
              local: true,
              mirror,
            };
            return enter({ ...state, server });
          },
          visit(url) {
            return this.connect(url, null);
          },
          async connect(url, token) {
            await pause(600);
            if (url.includes("nowhere")) {
              throw new BackendError(
                "offline",
                `No gallery answers at ${url}. Check the address, or try later.`,
              );
            }
            if (url.includes("locked") && token !== null) {
              throw new BackendError("keyring_locked", "The keyring is locked; unlock it and try again.");
            }
            return enter({ ...state, server: { ...madeUpServer(url, token !== null), mirror } });
          },
          connectForNow: (url) =>
            Promise.resolve(
              enter({ ...state, server: { ...madeUpServer(url, true), token_for_now: true, mirror } }),
            ),
          disconnect: () => Promise.resolve(enter({ ...state, server: null })),
          galleries: () => Promise.resolve(madeUpGalleries(state.server?.url)),
          switchTo: (url) =>
            Promise.resolve(enter({ ...state, server: { ...madeUpServer(url, true), mirror } })),
          rename: (_, name) => {
            if (state.server !== null) enter({ ...state, server: { ...state.server, name } });
            return Promise.resolve();
          },
          forget: () => Promise.resolve(),
        };

  const withFiles = (sequence: number): Picture | null => {
    const image = gallery.image(sequence);
    if (image === null) return null;
    const isKept = keepsAll || kept.has(image.id);
    return { image, sequence, kept: isKept, original_here: isKept };
  };

  const fill = (change: Partial<MirrorView>) => {
    mirror = { ...mirror, ...change };
    if (state.server !== null) enter({ ...state, server: { ...state.server, mirror } });
  };
  if (scene === "filling") {
    const timer = setInterval(() => {
      fill({ known: Math.min(count, mirror.known + Math.ceil(count / 40)) });
      if (mirror.known === count) {
        clearInterval(timer);
        fill({ phase: "live", checked_at: new Date().toISOString() });
      }
      events?.timelineChanged();
    }, 2000);
  }
  const arrive = (some = 1) => {
    for (let arrived = 0; arrived < some; arrived += 1) gallery.publish();
    events?.timelineChanged();
  };
  const every = Number(options.get("live") ?? 0);
  if (every > 0) setInterval(arrive, every * 1000);

  return {
    intake:
      scene === "web"
        ? { kind: "browser", add: (files) => void enqueue(files.map((file) => file.name)) }
        : {
            kind: "native",
            pick: () => Promise.resolve(takenIn(enqueue(names).length, 0)),
            pickFolders: () => Promise.resolve(takenIn(enqueue(names).length, 3)),
            paste: () => Promise.resolve(takenIn(enqueue(["Pasted 2026-11-26 10-00-00.png"]).length, 0)),
          },
    session,
    state: () => Promise.resolve(state),
    async timeline(search) {
      await pause(scene === "slow" ? 60_000 : 30);
      if (failing) {
        failing = false;
        throw new BackendError(
          "offline",
          "gallery.example.org does not answer. Check your connection and try again.",
        );
      }
      const answer = gallery.timeline(search);
      if (mirror.phase !== "filling") return answer;
      const end = Math.min(mirror.known, answer.sequences.length);
      const { sequences, created, ratios } = answer;
      return {
        search,
        sequences: sequences.slice(0, end),
        created: created.slice(0, end),
        ratios: ratios.slice(0, end),
      };
    },
    async pictures(timeline, start, end) {
      await pause(20);
      return [...timeline.sequences.subarray(start, end)].map(withFiles);
    },
    async picture(id) {
      await pause(20);
      const sequence = gallery.sequenceOf(id);
      return sequence === null ? null : withFiles(sequence);
    },
    async deleteImages(ids) {
      await pause(200);
      for (const id of ids) gallery.delete(id);
      if (state.server?.reachable === false) {
        fill({ pending_deletions: mirror.pending_deletions + ids.length });
        return { deleted: [], queued: ids, failed: [] };
      }
      return { deleted: ids, queued: [], failed: [] };
    },
    offline:
      scene === "web"
        ? null
        : {
            async keep(ids, keep) {
              await pause(60);
              for (const id of ids)
                if (keep) kept.add(id);
                else kept.delete(id);
            },
            keepAll: (keep) => Promise.resolve(void (keepsAll = keep)),
            state: () =>
              Promise.resolve({
                kept: keepsAll ? gallery.count : kept.size,
                here: kept.size,
                bytes: kept.size * 4_000_000,
                all: keepsAll,
                cache_bytes: 734_000_000,
                cache_limit_bytes: cacheLimit,
              }),
            setCacheLimit: (bytes) => Promise.resolve(void (cacheLimit = bytes)),
          },
    download: (images) => {
      const [one] = images;
      const name = images.length === 1 && one !== undefined ? `/${one.file_name}` : "";
      const path = scene === "web" ? null : `/home/design/Pictures${name}`;
      return Promise.resolve({ path, saved: images.length, failed: [] });
    },
    dragOut: null,
    uploads: () => Promise.resolve(uploads),
    cancelUpload: (id) => Promise.resolve(void update(id, { state: "cancelled" })),
    async retryUpload(id) {
      update(id, { state: "queued", error: null });
      void upload(id, 2_000_000, 1);
    },
    pauseUpload: (id) => Promise.resolve(updateAll(only(id, held))),
    resumeUpload: (id) => Promise.resolve(updateAll(only(id, released))),
    moveUploadToTop(id) {
      const position = uploads.reduce((first, upload) => Math.min(first, upload.position), 0) - 1;
      return Promise.resolve(void update(id, { position }));
    },
    pauseUploads: () => Promise.resolve(updateAll(held)),
    resumeUploads: () => Promise.resolve(updateAll(released)),
    cancelUploads: () =>
      Promise.resolve(updateAll(({ state }) => (ENDED.includes(state) ? null : { state: "cancelled" }))),
    async retryUploads() {
      for (const { id } of uploads.filter((it) => it.state === "failed")) await this.retryUpload(id);
    },
    uploadSettings:
      scene === "web"
        ? null
        : {
            get: () => Promise.resolve(preferences),
            set: (chosen) => Promise.resolve(void (preferences = chosen)),
          },
    clearFinishedUploads(only) {
      uploads = uploads.filter(({ id, state }) => !ENDED.includes(state) || (only !== null && id !== only));
      return Promise.resolve();
    },
    gone: (images) =>
      Promise.resolve(images.map(({ id }) => id).filter((id) => gallery.sequenceOf(id) === null)),
    copyLink: () => Promise.resolve(),
    desktop:
      scene === "web"
        ? null
        : {
            preferences: () => Promise.resolve(desktopPreferences),
            setPreferences: (chosen) => Promise.resolve(void (desktopPreferences = chosen)),
            takeKeyAgain: () => Promise.resolve(),
            suspendKey: () => Promise.resolve(),
            takeWanted: () => Promise.resolve(null),
            async examine() {
              await pause(700);
              return madeUpChecks();
            },
            asked: () => Promise.resolve(asked),
            answerAsked: () => {
              asked = null;
              events?.askedChanged();
              return Promise.resolve();
            },
            askedUrl: (_, index) => madeUpPicture(madeUpImage(index), 320),
          },
    links:
      scene === "web"
        ? null
        : {
            preferences: () => Promise.resolve(linkPreferences),
            setPreferences: (chosen) => Promise.resolve(void (linkPreferences = chosen)),
            example: (format) => Promise.resolve(`${format}: Sea.jpg`),
            make: (ids, format, alt) =>
              Promise.resolve(ids.map((id) => `${format}: ${alt ?? id}`).join("\n")),
            copy: () => Promise.resolve(),
          },
    general: {
      get: () => Promise.resolve(general),
      set: (chosen) => {
        general = chosen;
        storeLook(chosen);
        return Promise.resolve();
      },
    },
    history:
      scene === "web"
        ? null
        : {
            async page(search, before) {
              await pause(40);
              const found = madeUpHistory.filter(({ image }) =>
                image.file_name.toLowerCase().includes(search.toLowerCase()),
              );
              const from = before === null ? 0 : found.findIndex(({ upload }) => upload === before) + 1;
              return scene === "empty" ? [] : found.slice(from, from + HISTORY_PAGE);
            },
            copyLink: () => Promise.resolve(),
            forget: () => Promise.resolve(),
          },
    pictureUrl: (image, size) =>
      thumbs === null ? madeUpPicture(image, size) : `${thumbs}${indexOfId(image.id) % 100}.jpg`,
    listen(listener) {
      events = listener;
      // For the console: what only the app can bring about.
      Object.assign(window, { fake: { ...listener, arrive, fill } });
      return Promise.resolve(() => (events = null));
    },
  };
}
