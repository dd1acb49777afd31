//! What the service worker does with a request. Pure; the worker itself is `sw.ts`.
//!
//! Invariant: only what everybody may read ever comes from a cache, and never the answer to a change.

/** On an answer that the server did not give now: when it did, RFC 3339, where that is known. */
export const OFFLINE_HEADER = "imgn-offline";

/** How a request is answered. */
export type Rule =
  /** As if there were no worker. */
  | "network"
  /** The page itself, for every address that is one of its own. */
  | "page"
  /** From the cache, if it is there: what has this address never changes. */
  | "forever"
  /** From the network; from the cache when that does not answer. */
  | "newest";

export interface Asked {
  readonly method: string;
  readonly url: URL;
  /** Of the page. */
  readonly origin: string;
  readonly navigates: boolean;
}

export function ruleFor({ method, url, origin, navigates }: Asked): Rule {
  if (method !== "GET" || url.origin !== origin) return "network";
  const { pathname } = url;
  if (navigates) return pathname === "/" || /^\/i\/[^/]+$/.test(pathname) ? "page" : "network";
  if (pathname.startsWith("/assets/") || /^\/v1\/images\/[^/]+\/thumb\/\d+$/.test(pathname)) return "forever";
  if (pathname === "/v1/timeline" || /^\/v1\/images(\/[^/]+)?$/.test(pathname)) return "newest";
  if (/^\/(icon[\w-]*\.(svg|png)|manifest\.webmanifest)$/.test(pathname)) return "newest";
  return "network";
}

/** The addresses that a page tells of, having asked for them before there was a worker; none of what is no such word. */
export function seenIn(told: unknown): URL[] {
  const seen = (told as { seen?: unknown } | null)?.seen;
  if (!Array.isArray(seen)) return [];
  return seen
    .filter((address) => typeof address === "string" && URL.canParse(address))
    .map((it) => new URL(it));
}

/** The caches, and how many answers each of them holds at most. */
export const CACHES = {
  /** The page, of one build. */
  shell: { name: "imgn-shell", most: 200 },
  /** Thumbnails of 320 pixels, about 20 kB each. */
  thumbnails: { name: "imgn-thumbnails-1", most: 6000 },
  /** Previews of 1280 pixels and more, about 200 kB each. */
  previews: { name: "imgn-previews-1", most: 400 },
  /** The timeline and rows, about a hundred in each answer. */
  lists: { name: "imgn-lists-1", most: 250 },
} as const;

export type CacheKind = keyof typeof CACHES;

/** Where the answer to a request is kept. */
export function cacheFor({ pathname }: URL): CacheKind {
  if (pathname.endsWith("/thumb/320")) return "thumbnails";
  if (/\/thumb\/\d+$/.test(pathname)) return "previews";
  return pathname.startsWith("/v1/") ? "lists" : "shell";
}

/** How many timelines are kept, each of which may be 10 MB. */
const MOST_TIMELINES = 4;

/** Of addresses in the order in which they were kept, those of timelines that are too many: searches go before the whole. */
export function timelinesTooMany(addresses: readonly string[]): string[] {
  const timelines = addresses.filter((address) => new URL(address).pathname === "/v1/timeline");
  const searches = timelines.filter((address) => new URL(address).searchParams.has("q"));
  const room = Math.max(0, MOST_TIMELINES - (timelines.length - searches.length));
  return searches.slice(0, Math.max(0, searches.length - room));
}
