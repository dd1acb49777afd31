//! A server's own web page: the same screens over HTTP, to the origin that the page came from.
//!
//! The token lives in this tab and no longer. Invariant: it is sent to the page's own origin only, never to the store.

import { version } from "../../package.json";
import { storedLook, storeLook } from "../look";
import { strings } from "../strings";
import { HttpApi } from "./api";
import { asBackendError, BackendError, type Backend, type BackendEvents } from "./backend";
import { copyText } from "./clipboard";
import { hashBesideThePage } from "./hashing";
import { LiveFeed } from "./live-feed";
import { putByXhr } from "./put";
import { hurryWhenLeaving, Turns } from "./turns";
import type { AppState, DeletionView, Image, Picture, UploadView } from "./types";
import { uuidV7 } from "./uuid";
import { WebUploads } from "./web-uploads";

const TOKEN_KEY = "imgn.token";

/** So many deletions are under way; a browser refuses to carry too many beyond the page's end. */
const DELETIONS = 6;

export function httpBackend(): Backend {
  let reachable = true;
  let known = 0;
  let checkedAt: string | null = null;
  let listeners: BackendEvents | null = null;

  const api = new HttpApi(window.fetch.bind(window), (now, keptSince) => {
    const before = `${reachable} ${checkedAt}`;
    reachable = now;
    if (keptSince !== null) checkedAt = keptSince;
    if (`${reachable} ${checkedAt}` !== before) listeners?.stateChanged(state());
  });
  api.token = sessionStorage.getItem(TOKEN_KEY);

  const state = (): AppState => ({
    version,
    // It is told at once, as it is: none is overtaken.
    revision: 0,
    server: {
      url: location.origin,
      name: "",
      local: false,
      signed_in: api.token !== null || anonymous,
      token_for_now: false,
      token_trouble: null,
      reachable,
      mirror: {
        phase: reachable ? "live" : "offline",
        known,
        total: null,
        checked_at: checkedAt,
        pending_deletions: 0,
      },
    },
  });
  /** Whether this server lets everybody upload; asked when it first matters. */
  let anonymous = false;

  const deletions = new Turns(DELETIONS);
  hurryWhenLeaving(deletions);
  const feed: LiveFeed = new LiveFeed(
    () => listeners?.timelineChanged(),
    // A server that is away is told of by the asking; one that is well is looked at, since it will not tell.
    () => void api.health().then(feed.look, () => undefined),
  );
  const uploads = new WebUploads(
    { api, put: putByXhr, hash: hashBesideThePage, pause, now: () => performance.now() },
    {
      changed: (views) => listeners?.uploadsChanged(views),
      published: () => feed.look(),
    },
  );
  addEventListener("beforeunload", (event) => {
    if (uploads.busy) event.preventDefault();
  });

  const setToken = (token: string | null): AppState => {
    api.token = token;
    if (token === null) sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, token);
    listeners?.stateChanged(state());
    return state();
  };

  /** Whether the server lets `token` upload: it answers "not found" to whoever may ask for an upload. */
  const mayWrite = async (token: string | null): Promise<void> => {
    const probe = new HttpApi(window.fetch.bind(window));
    probe.token = token;
    try {
      await probe.status(uuidV7());
    } catch (thrown) {
      const error = asBackendError(thrown, strings.errors.unexpected);
      if (error.code !== "not_found") throw error;
    }
  };

  return {
    intake: { kind: "browser", add: (files) => uploads.add(files) },
    session: {
      kind: "web",
      hasToken: () => api.token !== null,
      async mayUpload() {
        if (api.token !== null || anonymous) return true;
        try {
          await mayWrite(null);
        } catch (thrown) {
          if (asBackendError(thrown, "").code === "unauthorized") return false;
          throw thrown;
        }
        anonymous = true;
        listeners?.stateChanged(state());
        return true;
      },
      async signIn(token) {
        try {
          await mayWrite(token);
        } catch (thrown) {
          const error = asBackendError(thrown, strings.errors.unexpected);
          throw error.code === "unauthorized"
            ? new BackendError("unauthorized", strings.errors.unauthorized, { cause: error })
            : error;
        }
        return setToken(token);
      },
      signOut: () => Promise.resolve(setToken(null)),
    },
    state: () => Promise.resolve(state()),
    async timeline(search) {
      const timeline = await api.timeline(search);
      if (timeline.search === "") known = timeline.sequences.length;
      if (reachable) checkedAt = new Date().toISOString();
      return timeline;
    },
    async pictures({ search, sequences }, start, end) {
      const asked = sequences.subarray(start, end);
      if (asked.length === 0) return [];
      const images = await api.images(asked.at(-1)!, asked[0]!, search);
      const found = new Map(images.map((image) => [image.sequence, image]));
      return Array.from(asked, (sequence) => asPicture(found.get(sequence) ?? null));
    },
    picture: async (id) => asPicture(await api.image(id)),
    async deleteImages(ids) {
      const done: DeletionView = { deleted: [], queued: [], failed: [] };
      const answers = await Promise.allSettled(ids.map((id) => deletions.take(() => api.deleteImage(id))));
      for (const [index, answer] of answers.entries()) {
        const id = ids[index]!;
        if (answer.status === "fulfilled") {
          done.deleted.push(id);
          continue;
        }
        const error = asBackendError(answer.reason, strings.errors.unexpected);
        if (error.code === "not_found") done.deleted.push(id);
        // The codes of the page's own are not among the app's.
        else done.failed.push({ id, error: error.view() as DeletionView["failed"][number]["error"] });
      }
      feed.look();
      return done;
    },
    offline: null,
    download(images) {
      for (const { id, file_name } of images) {
        const link = document.createElement("a");
        link.href = `/v1/images/${encodeURIComponent(id)}/content?download`;
        link.download = file_name;
        link.click();
      }
      return Promise.resolve({ path: null, saved: 0, failed: [] });
    },
    dragOut: null,
    uploads: () => Promise.resolve<UploadView[]>(uploads.list()),
    cancelUpload: (id) => Promise.resolve(uploads.cancel(id)),
    retryUpload: (id) => Promise.resolve(uploads.retry(id)),
    pauseUpload: (id) => Promise.resolve(uploads.pause(id)),
    resumeUpload: (id) => Promise.resolve(uploads.resume(id)),
    moveUploadToTop: (id) => Promise.resolve(uploads.moveToTop(id)),
    pauseUploads: () => Promise.resolve(uploads.pauseAll()),
    resumeUploads: () => Promise.resolve(uploads.resumeAll()),
    cancelUploads: () => Promise.resolve(uploads.cancelAll()),
    retryUploads: () => Promise.resolve(uploads.retryFailed()),
    uploadSettings: null,
    clearFinishedUploads: (only) => Promise.resolve(uploads.clearFinished(only)),
    async gone(images) {
      const { sequences } = await api.timeline("");
      const isGone = ({ sequence }: Image) => sequence !== undefined && !sequences.includes(sequence);
      return images.filter(isGone).map(({ id }) => id);
    },
    copyLink: copyText,
    links: null,
    desktop: null,
    general: {
      get: () => Promise.resolve({ ...storedLook(), proxy: "system", ask: "first" }),
      set: (preferences) => Promise.resolve(storeLook(preferences)),
    },
    history: null,
    pictureUrl: (image, size) =>
      size === "original" ? `/v1/images/${image.id}/content` : `/v1/images/${image.id}/thumb/${size}`,
    listen(events) {
      listeners = events;
      feed.start();
      return Promise.resolve(() => {
        listeners = null;
        feed.stop();
      });
    },
  };
}

/** Nothing is kept on this computer. */
function asPicture(image: Image | null): Picture | null {
  return image === null ? null : { image, sequence: image.sequence ?? 0, kept: false, original_here: false };
}

/** Resolves after `milliseconds`, or as soon as the browser says that the network is back. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      window.removeEventListener("online", over);
      signal.removeEventListener("abort", over);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const timer = setTimeout(over, milliseconds);
    window.addEventListener("online", over);
    signal.addEventListener("abort", over);
  });
}
