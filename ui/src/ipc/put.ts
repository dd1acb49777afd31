//! Sends bytes to the store. `fetch` cannot tell how much of a body has gone, so this is `XMLHttpRequest`.

import type { SignedRequest } from "./api";

/** Answers the HTTP status, or 0 when there was no answer. Rejects only with the signal's reason. */
export type Put = (
  request: SignedRequest,
  body: Blob,
  onProgress: (sent: number) => void,
  signal: AbortSignal,
) => Promise<number>;

/** What a browser sets itself and forbids pages to set. */
const SET_BY_THE_BROWSER: ReadonlySet<string> = new Set(["host", "content-length", "connection", "origin"]);

/** How long no byte may move before the connection is given up, in milliseconds. */
const STALL = 60_000;

export const putByXhr: Put = (request, body, onProgress, signal) =>
  new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let stalled: ReturnType<typeof setTimeout> | undefined;
    const stop = () => xhr.abort();
    const moved = () => {
      clearTimeout(stalled);
      stalled = setTimeout(stop, STALL);
    };
    const end = (status: number) => {
      clearTimeout(stalled);
      signal.removeEventListener("abort", stop);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve(status);
    };
    xhr.upload.onprogress = (event) => {
      moved();
      onProgress(event.loaded);
    };
    xhr.onload = () => end(xhr.status);
    xhr.onerror = () => end(0);
    xhr.onabort = () => end(0);
    signal.addEventListener("abort", stop);

    xhr.open(request.method, request.url);
    for (const [name, value] of Object.entries(request.headers)) {
      if (!SET_BY_THE_BROWSER.has(name.toLowerCase())) xhr.setRequestHeader(name, value);
    }
    moved();
    // A blob without a type: else the browser adds a content type that nobody signed.
    xhr.send(body.slice(0, body.size, ""));
  });
