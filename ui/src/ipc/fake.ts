//! A made-up gallery for design work in a plain browser (`npm run design`). The address chooses the scene:
//! `?scene=first-start|empty|error|offline|local|web|slow`, `?count=20`, `?uploads=10000`.

import type { Backend, BackendEvents } from "./backend";
import { BackendError } from "./backend";
import { madeUpImage, madeUpPicture } from "./fake-pictures";
import type { AppState, Image, IntakeView, UploadPreferences, UploadState, UploadView } from "./types";
import { uuidV7 } from "./uuid";

const ENDED: readonly UploadState[] = ["published", "duplicate", "rejected", "failed", "cancelled"];

const takenIn = (pictures: number, other_files: number): IntakeView => ({
  pictures,
  other_files,
  linked_folders: 0,
  unreadable: [],
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
  const count = scene === "empty" ? 0 : Number(options.get("count") ?? 2000);
  let images: Image[] = Array.from({ length: count }, (_, index) => madeUpImage(index));
  let uploads: UploadView[] = [];
  let failing = scene === "error";
  let events: BackendEvents | null = null;
  let preferences: UploadPreferences = { keep_location: false, jobs: null, bytes_per_second: null };
  let state: AppState = {
    version: "0.1.0",
    server:
      scene === "first-start"
        ? null
        : {
            url: scene === "local" ? "http://127.0.0.1:41234" : "https://gallery.example.org",
            local: scene === "local",
            signed_in: scene !== "web",
            reachable: scene !== "offline",
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
    const image = { ...madeUpImage(10_000 + fate), id: uuidV7(), created_at: new Date().toISOString() };
    update(id, { state: "published", image });
    images = [image, ...images];
    events?.galleryChanged({ added: [image], removed: [] });
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
            const server = { url: "http://127.0.0.1:41234", local: true, signed_in: true, reachable: true };
            return enter({ ...state, server });
          },
          async connect(url, token) {
            await pause(600);
            if (url.includes("nowhere")) {
              throw new BackendError(
                "offline",
                `No gallery answers at ${url}. Check the address, or try later.`,
              );
            }
            return enter({
              ...state,
              server: { url, local: false, signed_in: token !== null, reachable: true },
            });
          },
          disconnect: () => Promise.resolve(enter({ ...state, server: null })),
        };

  return {
    intake:
      scene === "web"
        ? { kind: "browser", add: (files) => void enqueue(files.map((file) => file.name)) }
        : {
            kind: "native",
            pick: () => Promise.resolve(takenIn(enqueue(names).length, 0)),
            pickFolders: () => Promise.resolve(takenIn(enqueue(names).length, 3)),
          },
    session,
    state: () => Promise.resolve(state),
    async images({ search, cursor, limit }) {
      await pause(scene === "slow" ? 60_000 : 60);
      if (failing) {
        failing = false;
        throw new BackendError(
          "offline",
          "gallery.example.org does not answer. Check your connection and try again.",
        );
      }
      const found = images.filter((image) =>
        image.file_name.toLowerCase().includes((search ?? "").toLowerCase()),
      );
      const start = cursor === null ? 0 : Number(cursor);
      const end = start + limit;
      return { images: found.slice(start, end), next_cursor: end < found.length ? String(end) : null };
    },
    async deleteImage(id) {
      await pause(200);
      images = images.filter((image) => image.id !== id);
    },
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
    clearFinishedUploads() {
      uploads = uploads.filter(({ state }) => !ENDED.includes(state));
      return Promise.resolve();
    },
    copyLink: () => Promise.resolve(),
    pictureUrl: madeUpPicture,
    listen(listener) {
      events = listener;
      // For the console: what only the app can bring about.
      Object.assign(window, { fake: listener });
      return Promise.resolve(() => (events = null));
    },
  };
}
