import { expect, it } from "vitest";

import { cacheFor, ruleFor, seenIn, timelinesTooMany, type Asked } from "./cache-rules";

const origin = "https://gallery.example";
const asked = (path: string, more: Partial<Asked> = {}): Asked => ({
  method: "GET",
  url: new URL(path, origin),
  origin,
  navigates: false,
  ...more,
});

it.each([
  ["/assets/index-abc.js", "forever", "shell"],
  ["/v1/images/0190/thumb/320", "forever", "thumbnails"],
  ["/v1/images/0190/thumb/1280", "forever", "previews"],
  ["/v1/timeline?q=lake", "newest", "lists"],
  ["/v1/images?sequences=1-100&q=&limit=500", "newest", "lists"],
  ["/v1/images/0190", "newest", "lists"],
  ["/icon-192.png", "newest", "shell"],
  ["/manifest.webmanifest", "newest", "shell"],
])("%s: %s, in %s", (path, rule, cache) => {
  expect(ruleFor(asked(path))).toBe(rule);
  expect(cacheFor(asked(path).url)).toBe(cache);
});

it.each([
  // Originals are large, and lead to a URL that is good for minutes.
  asked("/v1/images/0190/content"),
  asked("/v1/events"),
  asked("/v1/uploads/0190"),
  asked("/openapi.json"),
  asked("/v1/images/0190", { method: "DELETE" }),
  asked("https://store.example/assets/x.js"),
  asked("/openapi.json", { navigates: true }),
])("$method $url is the network's", (request) => {
  expect(ruleFor(request)).toBe("network");
});

it("every address of the page is the page", () => {
  expect(ruleFor(asked("/", { navigates: true }))).toBe("page");
  expect(ruleFor(asked("/i/0190?lang=de", { navigates: true }))).toBe("page");
  expect(ruleFor(asked("/i/0190/x", { navigates: true }))).toBe("network");
});

it("four timelines are kept, the newest and that of everything", () => {
  const at = (path: string) => `${origin}${path}`;
  const everything = at("/v1/timeline?");
  const searches = ["a", "b", "c", "d", "e"].map((search) => at(`/v1/timeline?q=${search}`));
  const rows = at("/v1/images?sequences=1-100&q=&limit=500");
  expect(timelinesTooMany([everything, rows, ...searches])).toEqual(searches.slice(0, 2));
  expect(timelinesTooMany([...searches, rows])).toEqual(searches.slice(0, 1));
  expect(timelinesTooMany([everything, ...searches.slice(0, 3), rows])).toEqual([]);
});

it("of what a page tells, addresses count and nothing else", () => {
  const thumb = `${origin}/v1/images/0190/thumb/320`;
  expect(seenIn({ seen: [thumb, 7, "/v1/timeline", null] }).map(String)).toEqual([thumb]);
  for (const other of [null, "x", {}, { seen: thumb }]) expect(seenIn(other)).toEqual([]);
});
