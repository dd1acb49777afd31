//! A server's own web page: the same screens over HTTP, to the origin that the page came from.
//!
//! The token lives in this tab and no longer. Invariant: it is sent to the page's own origin only, never to the store.

import { version } from "../../package.json";
import { strings } from "../strings";
import { HttpApi } from "./api";
import { asBackendError, BackendError, type Backend, type BackendEvents } from "./backend";
import { copyText } from "./clipboard";
import { hashBesideThePage } from "./hashing";
import { NewestWatch } from "./newest";
import { putByXhr } from "./put";
import type { AppState, UploadView } from "./types";
import { uuidV7 } from "./uuid";
import { WebUploads } from "./web-uploads";

const TOKEN_KEY = "imgn.token";

/** How often the page asks for new pictures while somebody looks at it, in milliseconds. */
const LOOK_EVERY = 10_000;

export function httpBackend(): Backend {
  let reachable = true;
  let listeners: BackendEvents | null = null;

  const api = new HttpApi(window.fetch.bind(window), (now) => {
    if (now === reachable) return;
    reachable = now;
    listeners?.stateChanged(state());
  });
  api.token = sessionStorage.getItem(TOKEN_KEY);

  const state = (): AppState => ({
    version,
    server: { url: location.origin, local: false, signed_in: api.token !== null || anonymous, reachable },
  });
  /** Whether this server lets everybody upload; asked when it first matters. */
  let anonymous = false;

  const newest = new NewestWatch((query) => api.images(query));
  const uploads = new WebUploads(
    { api, put: putByXhr, hash: hashBesideThePage, pause, now: () => performance.now() },
    {
      changed: (views) => listeners?.uploadsChanged(views),
      published: (image) => listeners?.galleryChanged({ added: [image], removed: [] }),
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
    async images(query) {
      const page = await api.images(query);
      if (query.cursor === null && query.search === null) newest.seen(page.images);
      return page;
    },
    async deleteImage(id) {
      await api.deleteImage(id);
      listeners?.galleryChanged({ added: [], removed: [id] });
    },
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
    clearFinishedUploads: () => Promise.resolve(uploads.clearFinished()),
    copyLink: copyText,
    pictureUrl: (image, size) =>
      size === "original" ? `/v1/images/${image.id}/content` : `/v1/images/${image.id}/thumb/${size}`,
    listen(events) {
      listeners = events;
      const look = () => {
        if (document.visibilityState !== "visible") return;
        newest.look().then(
          (change) => {
            if (change.added.length > 0 || change.removed.length > 0) listeners?.galleryChanged(change);
          },
          // That the server cannot be reached is told by `reachable`; anything else is for the next look.
          () => undefined,
        );
      };
      const timer = setInterval(look, LOOK_EVERY);
      document.addEventListener("visibilitychange", look);
      window.addEventListener("online", look);
      return Promise.resolve(() => {
        listeners = null;
        clearInterval(timer);
        document.removeEventListener("visibilitychange", look);
        window.removeEventListener("online", look);
      });
    },
  };
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
