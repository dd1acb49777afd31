//! The web page's service worker: what somebody has seen can be looked at with no network.
//!
//! Built as a file of its own, which imports nothing at run time. Not here: any upload or deletion, any original, and the
//! desktop app, which keeps its own cache. Invariant: each cache has a bound, and loses its oldest answers first.

import {
  cacheFor,
  CACHES,
  OFFLINE_HEADER,
  ruleFor,
  seenIn,
  timelinesTooMany,
  type CacheKind,
} from "./cache-rules";
import { KeptRows, wantedBy } from "./kept-rows";
import { networkFirst } from "./network-first";

/** The little that is needed of a worker's own types, which do not go together with a page's. */
interface LastingEvent extends Event {
  waitUntil(doing: Promise<unknown>): void;
}
interface RequestEvent extends LastingEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface ToldEvent extends LastingEvent {
  readonly data: unknown;
}
interface Worker {
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", act: (event: LastingEvent) => void): void;
  addEventListener(type: "fetch", act: (event: RequestEvent) => void): void;
  addEventListener(type: "message", act: (event: ToldEvent) => void): void;
}
const worker = self as unknown as Worker;

/** All files of this build; the build writes them in here, and with them a new version of this file. */
const SHELL: readonly string[] = JSON.parse("%SHELL%") as string[];

/** After so many answers a cache is looked through for what is too much. */
const TRIM_EVERY = 100;

worker.addEventListener("install", (event) => {
  event.waitUntil(takeShell().then(() => worker.skipWaiting()));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const rule = ruleFor({
    method: request.method,
    url,
    origin: worker.location.origin,
    navigates: request.mode === "navigate",
  });
  if (rule === "network") return;
  const kind = cacheFor(url);
  if (rule === "forever") event.respondWith(fromCacheFirst(event, kind));
  else event.respondWith(fromNetworkFirst(event, rule === "page" ? "shell" : kind, rule === "page"));
});

worker.addEventListener("message", (event) => {
  event.waitUntil(takeSeen(seenIn(event.data)));
});

async function takeShell(): Promise<void> {
  const cache = await caches.open(CACHES.shell.name);
  const known = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname));
  const take = async (path: string) => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    await store(cache, path, answer);
  };
  await take("/");
  // What does not come now comes when it is used.
  await Promise.allSettled(SHELL.filter((path) => !known.has(path)).map(take));
}

/** Drops the caches of other versions, and the files of other builds. */
async function forgetOthers(): Promise<void> {
  const ours = new Set<string>(Object.values(CACHES).map(({ name }) => name));
  for (const name of await caches.keys()) {
    if (name.startsWith("imgn-") && !ours.has(name)) await caches.delete(name);
  }
  const shell = await caches.open(CACHES.shell.name);
  const wanted = new Set(SHELL);
  for (const request of await shell.keys()) {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/assets/") && !wanted.has(pathname)) await shell.delete(request);
  }
}

/** Keeps what a page was given before there was a worker; most of it is in the browser's own cache. */
async function takeSeen(seen: readonly URL[]): Promise<void> {
  const { origin } = worker.location;
  for (const url of seen) {
    if (ruleFor({ method: "GET", url, origin, navigates: false }) === "network") continue;
    const kind = cacheFor(url);
    const cache = await caches.open(CACHES[kind].name);
    if ((await cache.match(url)) !== undefined) continue;
    try {
      const answer = await fetch(url);
      if (answer.ok) await keep(kind, url.href, answer);
    } catch {
      // Then it is kept when it is asked for the next time.
    }
  }
}

async function fromCacheFirst(event: RequestEvent, kind: CacheKind): Promise<Response> {
  const cache = await caches.open(CACHES[kind].name);
  const known = await cache.match(event.request);
  if (known !== undefined) return known;
  const answer = await fetch(event.request);
  if (answer.ok) event.waitUntil(keep(kind, event.request, answer.clone()));
  return answer;
}

function fromNetworkFirst(event: RequestEvent, kind: CacheKind, isPage: boolean): Promise<Response> {
  const { request } = event;
  const url = new URL(request.url);
  const asking = fetch(request);
  // However late it comes: then it is there for the next time.
  const keeping = asking.then((answer) => {
    // Of the addresses that are all the same page, one is enough.
    if (!answer.ok || (isPage && url.pathname !== "/")) return;
    return keep(kind, isPage ? "/" : request, answer.clone());
  });
  event.waitUntil(keeping.catch(() => undefined));
  return networkFirst({
    ask: () => asking,
    async kept(evenEmpty) {
      const cache = await caches.open(CACHES[kind].name);
      const known = await cache.match(isPage ? "/" : request);
      if (known !== undefined) return isPage ? known : told(known);
      const rows = await fromKeptRows(url, evenEmpty);
      return rows === null ? null : told(rows);
    },
  });
}

/** What is kept of the lists, read when it is first needed. */
let keptRows: Promise<KeptRows> | null = null;

async function fromKeptRows(url: URL, evenEmpty: boolean): Promise<Response | null> {
  const id = /^\/v1\/images\/([^/]+)$/.exec(url.pathname)?.[1];
  const wanted = wantedBy(url);
  if (id === undefined && wanted === null) return null;
  keptRows ??= readLists();
  const rows = await keptRows;
  if (wanted !== null) {
    const answer = rows.answer(wanted);
    return answer.images.length > 0 || evenEmpty ? Response.json(answer) : null;
  }
  const found = rows.one(decodeURIComponent(id!));
  return found === undefined ? null : Response.json(found);
}

async function readLists(): Promise<KeptRows> {
  const rows = new KeptRows();
  const cache = await caches.open(CACHES.lists.name);
  for (const request of await cache.keys()) {
    if (!new URL(request.url).pathname.startsWith("/v1/images")) continue;
    const answer = await cache.match(request);
    rows.add(await answer?.json().catch(() => null));
  }
  return rows;
}

/** The answer, with the word that it is an old one and from when: the page must not take it for the server's. */
function told(answer: Response): Response {
  const headers = new Headers(answer.headers);
  const date = new Date(headers.get("date") ?? "");
  headers.set(OFFLINE_HEADER, Number.isNaN(date.getTime()) ? "" : date.toISOString());
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

/**
 * One answer for an address, whoever asks: scripts of the page are asked for with an `Origin` and by the worker without, and
 * an answer that varies by that would not be found again.
 */
async function store(cache: Cache, request: Request | string, answer: Response): Promise<void> {
  const headers = new Headers(answer.headers);
  headers.delete("vary");
  const { body, status, statusText } = answer;
  await cache.put(request, new Response(body, { status, statusText, headers }));
}

const kept: Partial<Record<CacheKind, number>> = {};

async function keep(kind: CacheKind, request: Request | string, answer: Response): Promise<void> {
  const { name, most } = CACHES[kind];
  const cache = await caches.open(name);
  if (kind === "lists") keptRows = null;
  try {
    await store(cache, request, answer);
  } catch {
    // The disk is full, or the browser allows no more: what is here stays, and the page works without the rest.
    return;
  }
  if (kind === "lists") {
    const keys = await cache.keys();
    const tooMany = new Set(timelinesTooMany(keys.map(({ url }) => url)));
    for (const old of keys) if (tooMany.has(old.url)) await cache.delete(old);
  }
  kept[kind] = (kept[kind] ?? TRIM_EVERY) + 1;
  if (kept[kind] < TRIM_EVERY) return;
  kept[kind] = 0;
  // In the order in which they came.
  const keys = await cache.keys();
  for (const old of keys.slice(0, Math.max(0, keys.length - most))) await cache.delete(old);
}
