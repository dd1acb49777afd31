//! The server's HTTP API, version 1, as typed calls. It knows no screen and keeps nothing but the token it is given.

import { strings } from "../strings";
import { BackendError, told } from "./backend";
import { readTimeline } from "./timeline";
import type { Image, Timeline, ViewError } from "./types";

/** One request to the store, to be sent exactly so. The URL is a secret of a few minutes. */
export interface SignedRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  expires_at: string;
}

export interface OpenRequest {
  file_name: string;
  size: number;
  sha256: string;
  content_type?: string;
}

export interface CompletedPart {
  number: number;
  checksum: string;
}

export type UploadAnswer =
  | {
      state: "open";
      mode: "single" | "multipart";
      part_size: number;
      part_count: number;
      parts: { number: number; size: number; checksum: string }[];
      signed?: SignedRequest;
    }
  | { state: "verifying" }
  | { state: "published"; image: Image }
  | ({ state: "rejected" } & ViewError)
  | { state: "aborted" };

/** The upload calls, which is all that the upload pipeline knows of a server. */
export interface UploadApi {
  open(id: string, request: OpenRequest, signal: AbortSignal): Promise<UploadAnswer>;
  sign(id: string, checksum: string, part: number | null, signal: AbortSignal): Promise<SignedRequest>;
  status(id: string, signal: AbortSignal): Promise<UploadAnswer>;
  complete(id: string, parts: CompletedPart[], signal: AbortSignal): Promise<UploadAnswer>;
  abort(id: string): Promise<void>;
}

/** On what the service worker answers in the server's place. The worker's own word, which it cannot share: it is one file. */
export const OFFLINE_HEADER = "imgn-offline";

/**
 * Told with each answer: whether it is the server's own and of now, or since when it is kept, where that is known. What is shown
 * is as old as its order: a row or a picture that is kept for longer or shorter says nothing of that.
 */
export type OnReachable = (reachable: boolean, keptSince: string | null) => void;

export class HttpApi implements UploadApi {
  token: string | null = null;
  readonly #fetch: typeof fetch;
  readonly #onReachable: OnReachable;

  constructor(fetcher: typeof fetch, onReachable: OnReachable = () => undefined) {
    this.#fetch = fetcher;
    this.#onReachable = onReachable;
  }

  /** The order of everything, or of what is searched for. */
  async timeline(search: string): Promise<Timeline> {
    const query = new URLSearchParams();
    if (search.trim() !== "") query.set("q", search.trim());
    // Asks whether what the browser has is still true, which costs a few bytes when it is.
    const response = await this.#send("GET", `/v1/timeline?${query}`, { cache: "no-cache" });
    try {
      return readTimeline(await response.arrayBuffer(), search);
    } catch (thrown) {
      throw new BackendError("bad_answer", strings.errors.bad_answer, { cause: thrown });
    }
  }

  /** The pictures from one place in the feed to another, newest first. At most 500. */
  async images(low: number, high: number, search: string): Promise<Image[]> {
    const query = new URLSearchParams({ sequences: `${low}-${high}`, limit: "500" });
    if (search !== "") query.set("q", search);
    const page = await this.#call<{ images: Image[] }>("GET", `/v1/images?${query}`, { cache: "no-cache" });
    return page.images;
  }

  /** One picture; null where there is none. */
  async image(id: string): Promise<Image | null> {
    try {
      return await this.#call<Image>("GET", `/v1/images/${encodeURIComponent(id)}`, { cache: "no-cache" });
    } catch (thrown) {
      // What is no id has no picture either.
      if (thrown instanceof BackendError && /^(not_found|invalid_request)$/.test(thrown.code)) return null;
      throw thrown;
    }
  }

  /** Asks for nothing but an answer. */
  async health(): Promise<void> {
    await this.#send("GET", "/healthz", { cache: "no-store" });
  }

  /** Also goes through when the page is left at once. */
  deleteImage(id: string): Promise<void> {
    return this.#call("DELETE", `/v1/images/${encodeURIComponent(id)}`, { keepalive: true });
  }

  open(id: string, request: OpenRequest, signal: AbortSignal): Promise<UploadAnswer> {
    return this.#call("PUT", `/v1/uploads/${id}?sign=true`, { body: request, signal });
  }

  sign(id: string, checksum: string, part: number | null, signal: AbortSignal): Promise<SignedRequest> {
    const body = part === null ? { checksum } : { part, checksum };
    return this.#call("POST", `/v1/uploads/${id}/sign`, { body, signal });
  }

  status(id: string, signal?: AbortSignal): Promise<UploadAnswer> {
    return this.#call("GET", `/v1/uploads/${id}`, { cache: "no-store", ...(signal ? { signal } : {}) });
  }

  complete(id: string, parts: CompletedPart[], signal: AbortSignal): Promise<UploadAnswer> {
    return this.#call("POST", `/v1/uploads/${id}/complete`, { body: { parts }, signal });
  }

  abort(id: string): Promise<void> {
    return this.#call("DELETE", `/v1/uploads/${id}`);
  }

  async #call<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.#send(method, path, options);
    if (response.status === 204) return undefined as T;
    try {
      return (await response.json()) as T;
    } catch (thrown) {
      options.signal?.throwIfAborted();
      throw new BackendError("bad_answer", strings.errors.bad_answer, { cause: thrown });
    }
  }

  /** An answer that is a success. */
  async #send(
    method: string,
    path: string,
    { body, signal, cache, keepalive }: RequestOptions,
  ): Promise<Response> {
    const headers: Record<string, string> = { accept: "*/*" };
    if (this.token !== null && !/^\/v1\/(images|timeline)\?/.test(path))
      headers.authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["content-type"] = "application/json";

    let response: Response;
    try {
      response = await this.#fetch.call(undefined, path, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal ? { signal } : {}),
        ...(cache ? { cache } : {}),
        ...(keepalive ? { keepalive } : {}),
      });
    } catch (thrown) {
      signal?.throwIfAborted();
      this.#onReachable(false, null);
      throw new BackendError("offline", strings.errors.offline, { cause: thrown });
    }
    // The service worker has kept it: the server did not answer.
    const kept = response.headers.get(OFFLINE_HEADER);
    // And a gateway that answers in its place has not reached it either.
    const isServer = kept === null && !isUnavailable(response.status);
    const isOrder = path.startsWith("/v1/timeline");
    this.#onReachable(isServer, isOrder && kept !== "" ? kept : null);
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

interface RequestOptions {
  body?: unknown;
  signal?: AbortSignal;
  cache?: RequestCache;
  keepalive?: boolean;
}

interface ProblemLike {
  code?: unknown;
  detail?: unknown;
  title?: unknown;
}

/** The error of an answer: what its problem document says, or what its status says where it has none. */
async function problemOf(response: Response): Promise<BackendError> {
  // A gateway in between answers with pages of its own.
  const problem: ProblemLike | null = await response.json().catch(() => null);
  const code = typeof problem?.code === "string" ? problem.code : codeOfStatus(response.status);
  const detail = [problem?.detail, problem?.title].find((text) => typeof text === "string" && text !== "");
  const message = (detail as string | undefined) ?? messageOfStatus(response);
  return new BackendError(code, told({ code, message }));
}

const isUnavailable = (status: number): boolean => status === 502 || status === 503 || status === 504;

function codeOfStatus(status: number): string {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status === 413) return "too_large";
  if (status === 429) return "rate_limited";
  if (isUnavailable(status)) return "unavailable";
  return "bad_answer";
}

function messageOfStatus(response: Response): string {
  if (response.status === 401) return strings.errors.unauthorized;
  return `${strings.errors.bad_answer} (${response.status})`;
}
