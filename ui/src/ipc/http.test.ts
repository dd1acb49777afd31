import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { OFFLINE_HEADER as WORKER_HEADER } from "../worker/cache-rules";
import { anImage } from "./testing";
import { HttpApi, OFFLINE_HEADER, type SignedRequest, type UploadAnswer } from "./api";
import { BackendError } from "./backend";
import { cleanFileName } from "./file-name";
import { LiveFeed } from "./live-feed";
import type { Put } from "./put";
import { hashFile } from "./sha256";
import type { Image, UploadView } from "./types";
import { uuidV7 } from "./uuid";
import { WebUploads } from "./web-uploads";

const json = (body: unknown, status = 200) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });

describe("calls", () => {
  it("carry the token where it is needed and nowhere else", async () => {
    const seen: { url: string; init: RequestInit }[] = [];
    const api = new HttpApi((url, init) => {
      seen.push({ url: String(url), init: init! });
      const empty = new Response(new Uint8Array(4));
      return Promise.resolve(String(url).startsWith("/v1/timeline") ? empty : json({ images: [] }));
    });
    api.token = "secret";
    await api.images(3, 20, "a&b");
    expect((await api.timeline(" a b ")).search).toBe("a b");
    await api.deleteImage("x");
    expect(seen[0]!.url).toBe("/v1/images?sequences=3-20&limit=500&q=a%26b");
    expect(seen[1]!.url).toBe("/v1/timeline?q=a+b");
    expect(seen[0]!.init.headers).not.toHaveProperty("authorization");
    expect(seen[1]!.init.headers).not.toHaveProperty("authorization");
    expect(seen[2]!.init.headers).toHaveProperty("authorization", "Bearer secret");
  });

  it.each([
    [json({ code: "too_large", detail: "Over 20 MB.", title: "Too large" }, 413), "too_large", "Over 20 MB."],
    [new Response("<html>", { status: 502 }), "unavailable", "(502)"],
    [new Response("", { status: 401 }), "unauthorized", "token"],
    [new Response("no json", { status: 200 }), "bad_answer", "answer"],
  ])("fail with the problem's own code and words", async (response, code, words) => {
    const api = new HttpApi(() => Promise.resolve(response));
    const error = await api.images(1, 2, "").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BackendError);
    expect((error as BackendError).code).toBe(code);
    expect((error as BackendError).message).toContain(words);
  });

  it("tell whether the server answers at all", async () => {
    const told: boolean[] = [];
    let down = true;
    const api = new HttpApi(
      () => (down ? Promise.reject(new TypeError("network")) : Promise.resolve(json({}, 404))),
      (reachable) => told.push(reachable),
    );
    await expect(api.deleteImage("x")).rejects.toMatchObject({ code: "offline" });
    down = false;
    await expect(api.deleteImage("x")).rejects.toMatchObject({ code: "not_found" });
    expect(told).toEqual([false, true]);
  });

  it.each([502, 503, 504])("that a gateway answers with %i have not reached the server", async (status) => {
    const told: [boolean, string | null][] = [];
    const api = new HttpApi(
      () => Promise.resolve(new Response("<html>", { status })),
      (...now) => told.push(now),
    );
    await expect(api.timeline("")).rejects.toMatchObject({ code: "unavailable" });
    expect(told).toEqual([[false, null]]);
  });
});

/** A server and a store in memory, with the faults that a test asks for. */
class World {
  readonly calls: string[] = [];
  readonly bodies: string[] = [];
  puts: number[] = [];
  openAnswer: (() => UploadAnswer | Promise<UploadAnswer>) | null = null;
  completions: (() => UploadAnswer)[] = [];
  offline = 0;
  mostAtOnce = 0;
  #atOnce = 0;
  #signed = 0;
  views = new Map<string, UploadView>();
  readonly states = new Map<string, string[]>();
  readonly arrived: Image[] = [];
  readonly uploads: WebUploads;

  constructor() {
    const signed = (): SignedRequest => ({
      method: "PUT",
      url: `https://store.example/${(this.#signed += 1)}`,
      headers: { "content-length": "3" },
      expires_at: "2026-01-01T00:05:00Z",
    });
    const reach = (call: string) => {
      this.calls.push(call);
      if (this.offline > 0) {
        this.offline -= 1;
        throw new BackendError("offline", "no network");
      }
    };
    const put: Put = async (request, body, onProgress) => {
      this.calls.push(`put ${request.url.split("/").at(-1)}`);
      this.#atOnce += 1;
      this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
      onProgress(body.size);
      this.bodies.push(await body.text());
      await new Promise((resolve) => setTimeout(resolve, 2));
      this.#atOnce -= 1;
      return this.puts.shift() ?? 200;
    };
    this.uploads = new WebUploads(
      {
        api: {
          open: async () => {
            reach("open");
            return this.openAnswer === null
              ? { state: "open", mode: "single", part_size: 3, part_count: 1, parts: [], signed: signed() }
              : await this.openAnswer();
          },
          sign: async (_id, _checksum, part) => {
            reach(part === null ? "sign" : `sign part ${part}`);
            return signed();
          },
          status: async () => {
            reach("status");
            return this.#complete();
          },
          complete: async (_id, parts) => {
            reach(parts.length === 0 ? "complete" : `complete ${parts.length} parts`);
            return this.#complete();
          },
          abort: async () => reach("abort"),
        },
        put,
        hash: (file, signal) => hashFile(file, { signal }),
        pause: async (milliseconds) => {
          this.calls.push(milliseconds >= 1000 ? "wait" : "poll");
        },
        now: () => performance.now(),
      },
      {
        changed: (views) => {
          for (const view of views) this.views.set(view.id, view);
        },
        published: (image) => this.arrived.push(image),
      },
    );
  }

  #complete(): UploadAnswer {
    return this.completions.shift()?.() ?? { state: "published", image: anImage("new") };
  }

  add(...names: string[]): void {
    this.uploads.add(names.map((name) => new File(["abc"], name, { type: "image/png" })));
  }

  async ended(): Promise<UploadView[]> {
    const over = ["published", "duplicate", "rejected", "failed", "cancelled"];
    while (!this.uploads.list().every((view) => over.includes(view.state)) || this.uploads.busy) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return this.uploads.list();
  }
}

describe("a file", () => {
  it("goes to the store in three calls and is published", async () => {
    const world = new World();
    world.add("a.png");
    const [view] = await world.ended();
    expect(world.calls).toEqual(["open", "put 1", "complete"]);
    expect(world.bodies).toEqual(["abc"]);
    expect(view).toMatchObject({ state: "published", sent_bytes: 3, error: null, file_name: "a.png" });
    expect(world.arrived).toHaveLength(1);
  });

  it("that is published already sends nothing and arrives nowhere again", async () => {
    const world = new World();
    world.openAnswer = () => ({ state: "published", image: anImage("old") });
    world.add("a.png");
    const [view] = await world.ended();
    expect(world.calls).toEqual(["open"]);
    expect(view).toMatchObject({ state: "duplicate", sent_bytes: 0 });
    expect(world.arrived).toEqual([]);
  });

  it("gets one fresh URL after a refusal, and fails after a second", async () => {
    const once = new World();
    once.puts = [403];
    once.add("a.png");
    expect(await once.ended()).toMatchObject([{ state: "published" }]);
    expect(once.calls).toEqual(["open", "put 1", "sign", "put 2", "complete"]);

    const twice = new World();
    twice.puts = [403, 403];
    twice.add("a.png");
    expect(await twice.ended()).toMatchObject([{ state: "failed", error: { code: "store_refused" } }]);
    expect(twice.calls).toEqual(["open", "put 1", "sign", "put 2"]);
  });

  it("that the store has already is completed without sending it again", async () => {
    const world = new World();
    world.puts = [412];
    world.add("a.png");
    expect(await world.ended()).toMatchObject([{ state: "published" }]);

    const resumed = new World();
    const parts = [{ number: 1, size: 3, checksum: "x" }];
    resumed.openAnswer = () => ({ state: "open", mode: "single", part_size: 3, part_count: 1, parts });
    resumed.add("a.png");
    await resumed.ended();
    expect(resumed.calls).toEqual(["open", "complete"]);
  });

  it("is asked about while it is verified, and says why it was rejected", async () => {
    const world = new World();
    world.completions = [
      () => ({ state: "verifying" }),
      () => ({ state: "verifying" }),
      () => ({ state: "rejected", code: "corrupt_picture", message: "It is cut off." }),
    ];
    world.add("a.png");
    expect(await world.ended()).toMatchObject([
      { state: "rejected", error: { code: "corrupt_picture", message: "It is cut off." } },
    ]);
    expect(world.calls).toEqual(["open", "put 1", "complete", "poll", "status", "poll", "status"]);
  });

  it("waits while the server is away and goes on by itself", async () => {
    const world = new World();
    world.offline = 2;
    world.add("a.png");
    expect(await world.ended()).toMatchObject([{ state: "published", error: null }]);
    expect(world.calls).toEqual(["open", "wait", "open", "wait", "open", "put 1", "complete"]);
  });

  it("fails when only the store stays away", async () => {
    const world = new World();
    world.puts = new Array<number>(20).fill(0);
    world.add("a.png");
    expect(await world.ended()).toMatchObject([{ state: "failed", error: { code: "store_refused" } }]);
    expect(world.calls.filter((call) => call.startsWith("put"))).toHaveLength(6);
  });

  it("is not sent again and again to a store that is full", async () => {
    const world = new World();
    world.puts = [507];
    world.add("a.png");
    expect(await world.ended()).toMatchObject([{ state: "failed", error: { code: "store_full" } }]);
    expect(world.calls).toEqual(["open", "put 1"]);
  });

  it("without a valid token fails with the server's reason and can be tried again", async () => {
    const world = new World();
    let refused = true;
    world.openAnswer = () => {
      if (refused) throw new BackendError("unauthorized", "This token was revoked.");
      return { state: "published", image: anImage("x") };
    };
    world.add("a.png");
    const [failed] = await world.ended();
    expect(failed).toMatchObject({ state: "failed", error: { message: "This token was revoked." } });
    refused = false;
    world.uploads.retry(failed!.id);
    expect(await world.ended()).toMatchObject([{ id: failed!.id, state: "duplicate", error: null }]);
  });

  it("of a large size goes in parts, of which those that are there are not sent", async () => {
    const world = new World();
    world.openAnswer = () => ({
      state: "open",
      mode: "multipart",
      part_size: 2,
      part_count: 2,
      parts: [{ number: 1, size: 2, checksum: "x" }],
    });
    world.add("a.png");
    expect(await world.ended()).toMatchObject([{ state: "published", sent_bytes: 3 }]);
    expect(world.calls).toEqual(["open", "sign part 2", "put 1", "complete 2 parts"]);
    expect(world.bodies).toEqual(["c"]);
  });

  it("that is empty is not sent", async () => {
    const world = new World();
    world.uploads.add([new File([], "a.png")]);
    expect(await world.ended()).toMatchObject([{ state: "failed", error: { code: "empty_file" } }]);
    expect(world.calls).toEqual([]);
  });

  it("that is cancelled stays cancelled and is aborted on the server", async () => {
    const world = new World();
    world.openAnswer = async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return { state: "published", image: anImage("x") };
    };
    world.add("a.png");
    await new Promise((resolve) => setTimeout(resolve, 1));
    world.uploads.cancel(world.uploads.list()[0]!.id);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(world.uploads.list()).toMatchObject([{ state: "cancelled" }]);
    expect(world.arrived).toEqual([]);
    world.uploads.clearFinished(null);
    expect(world.uploads.list()).toEqual([]);
  });
});

describe("files that are held back", () => {
  const moment = () => new Promise((resolve) => setTimeout(resolve, 20));

  it("stay so, give their turn to others, and go on when they may", async () => {
    const world = new World();
    world.add("a.png", "b.png", "c.png", "d.png", "e.png");
    const ids = world.uploads.list().map((view) => view.id);
    // One of each kind: in work, and waiting for its turn.
    world.uploads.pause(ids[0]!);
    world.uploads.pause(ids[4]!);
    await moment();
    const states = () => world.uploads.list().map((view) => view.state);
    expect(states()).toEqual(["paused", "published", "published", "published", "paused"]);
    expect(world.uploads.busy).toBe(true);
    world.uploads.resumeAll();
    await world.ended();
    expect(states()).toEqual(new Array(5).fill("published"));
    expect(world.bodies).toHaveLength(5);
  });

  it("can all be paused and all be taken back", async () => {
    const world = new World();
    world.add("a.png", "b.png", "c.png", "d.png");
    world.uploads.pauseAll();
    await moment();
    expect(new Set(world.uploads.list().map((view) => view.state))).toEqual(new Set(["paused"]));
    expect(world.bodies).toEqual([]);
    world.uploads.cancelAll();
    expect(new Set((await world.ended()).map((view) => view.state))).toEqual(new Set(["cancelled"]));
  });
});

it("a file that is moved to the top has its turn before all others", async () => {
  const world = new World();
  world.add("a.png", "b.png", "c.png", "d.png", "e.png");
  const last = world.uploads.list().at(-1)!.id;
  world.uploads.moveToTop(last);
  const [first, second] = world.uploads.list();
  expect(first!.id).toBe(last);
  expect(first!.position).toBeLessThan(second!.position);
  expect((await world.ended()).map((view) => view.state)).toEqual(new Array(5).fill("published"));
});

it("three files are in work at once, and all of them end", async () => {
  const world = new World();
  world.add(...Array.from({ length: 12 }, (_, index) => `${index}.png`));
  const views = await world.ended();
  expect(views.map((view) => view.state)).toEqual(new Array(12).fill("published"));
  expect(world.mostAtOnce).toBe(3);
});

describe("live changes", () => {
  class Source extends EventTarget {
    readyState = 1;
    closed = false;
    close() {
      this.closed = true;
    }
    hear(type: string) {
      this.dispatchEvent(new Event(type));
    }
  }

  let sources: Source[];
  let page: EventTarget & { visibilityState: string };
  let told: number;
  let lost: number;
  let feed: LiveFeed;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("EventSource", { CLOSED: 2 });
    page = Object.assign(new EventTarget(), { visibilityState: "visible" });
    vi.stubGlobal("document", page);
    vi.stubGlobal("window", new EventTarget());
    sources = [];
    told = lost = 0;
    feed = new LiveFeed(
      () => (told += 1),
      () => (lost += 1),
      () => {
        sources.push(new Source());
        return sources.at(-1) as unknown as EventSource;
      },
    );
    feed.start();
  });
  afterEach(() => {
    feed.stop();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  const turn = (state: "hidden" | "visible") => {
    page.visibilityState = state;
    page.dispatchEvent(new Event("visibilitychange"));
  };

  it("are told soon, not each, and no more after the end", async () => {
    const [source] = sources;
    for (let n = 0; n < 100; n += 1) source!.hear("change");
    await vi.advanceTimersByTimeAsync(0);
    expect(told).toBe(1);
    source!.hear("change");
    await vi.advanceTimersByTimeAsync(499);
    expect(told).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toBe(2);
    feed.stop();
    expect(source!.closed).toBe(true);
    source!.hear("change");
    feed.stop();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(told).toBe(2);
  });

  it("are not told of while the line is broken, but once it is whole", async () => {
    const [source] = sources;
    source!.readyState = 0;
    for (let attempt = 0; attempt < 20; attempt += 1) {
      source!.hear("error");
      await vi.advanceTimersByTimeAsync(3000);
    }
    expect([told, lost]).toEqual([0, 1]);
    source!.hear("feed");
    await vi.advanceTimersByTimeAsync(500);
    expect([told, lost]).toEqual([1, 1]);
    source!.hear("error");
    expect(lost).toBe(2);
    expect(sources).toHaveLength(1);
  });

  it("are asked for again later where the server refused for good", async () => {
    for (let attempt = 1; attempt < 4; attempt += 1) {
      sources.at(-1)!.readyState = 2;
      sources.at(-1)!.hear("error");
      await vi.advanceTimersByTimeAsync(9999);
      expect(sources).toHaveLength(attempt);
      await vi.advanceTimersByTimeAsync(1);
      expect(sources).toHaveLength(attempt + 1);
    }
    // Each time it is worth a look whether the server is well.
    expect([told, lost]).toEqual([0, 3]);
  });

  it("are heard of only while the page is seen, and looked for when it is again", async () => {
    turn("hidden");
    expect(sources[0]!.closed).toBe(true);
    sources[0]!.hear("change");
    await vi.advanceTimersByTimeAsync(60_000);
    expect([sources.length, told]).toEqual([1, 0]);
    turn("visible");
    await vi.advanceTimersByTimeAsync(500);
    expect([sources.length, told]).toEqual([2, 1]);
    expect(sources[1]!.closed).toBe(false);

    // Hidden while it waits to connect again.
    sources[1]!.readyState = 2;
    sources[1]!.hear("error");
    turn("hidden");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sources).toHaveLength(2);
  });
});

describe("names", () => {
  it.each([
    ["Ferien 2026.JPG", "Ferien 2026.JPG"],
    ["a\nb\u202egnp.png", "a_b_gnp.png"],
    ["..", "picture"],
    ["a\\b/c.png", "a_b_c.png"],
  ])("%j become what the server takes", (given, name) => expect(cleanFileName(given)).toBe(name));

  it("are shortened before their ending, on a whole character", () => {
    const name = cleanFileName(`${"ü".repeat(300)}.jpeg`);
    expect(new TextEncoder().encode(name).length).toBeLessThanOrEqual(255);
    expect(name.endsWith("ü.jpeg")).toBe(true);
  });
});

it("ids sort by time and are of version 7", () => {
  const early = uuidV7(1_700_000_000_000);
  expect(early).toMatch(/^018bcfe5-6800-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuidV7(1_700_000_000_001) > early).toBe(true);
});

it("knows an answer of the service worker by the header that it sets", async () => {
  expect(OFFLINE_HEADER).toBe(WORKER_HEADER);
  const told: [boolean, string | null][] = [];
  const answer = () =>
    Promise.resolve(
      new Response(new Uint8Array(4), { headers: { [WORKER_HEADER]: "2026-11-26T10:00:00Z" } }),
    );
  const api = new HttpApi(answer as typeof fetch, (...now) => told.push(now));
  expect((await api.timeline("")).sequences).toHaveLength(0);
  expect(told).toEqual([[false, "2026-11-26T10:00:00Z"]]);
});

it("what is shown is as old as its order, and not as a row or a picture that is kept", async () => {
  const ages: (string | null)[] = [];
  let kept = "2026-11-26T18:40:00Z";
  const answer = (url: string) => {
    const headers = { [OFFLINE_HEADER]: kept };
    return Promise.resolve(
      url.startsWith("/v1/timeline")
        ? new Response(new Uint8Array(4), { headers })
        : new Response(JSON.stringify({ images: [] }), { headers }),
    );
  };
  const api = new HttpApi(answer as typeof fetch, (_, since) => ages.push(since));
  await api.timeline("");
  kept = "2026-11-26T18:39:00Z";
  await api.images(1, 2, "");
  await api.image("x");
  expect(ages).toEqual(["2026-11-26T18:40:00Z", null, null]);
});
