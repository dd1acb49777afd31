import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";

import type { Backend, BackendEvents } from "../ipc/backend";
import { BackendError } from "../ipc/backend";
import { aPicture, aTimeline, anUpload } from "../ipc/testing";
import type { AppState, Image, Timeline, UploadView, ViewError, Wanted } from "../ipc/types";
import { strings } from "../strings";
import { NOTHING, selectStretch, toggle } from "./selection";

vi.stubGlobal("localStorage", { getItem: () => null, setItem: () => undefined });
const { AppModel } = await import("./app.svelte");
afterAll(() => void vi.unstubAllGlobals());

const settled = async () => {
  for (let turn = 0; turn < 200; turn += 1) await Promise.resolve();
};

const aState = (url: string, revision = 0): AppState => ({
  version: "1",
  revision,
  server: {
    url,
    local: false,
    signed_in: true,
    name: "",
    token_for_now: false,
    token_trouble: null,
    reachable: true,
    mirror: { phase: "live", known: 0, total: null, checked_at: null, pending_deletions: 0 },
  },
});

/** What a model that listens hears of the page. */
function stubPage() {
  const page = { addEventListener: () => undefined, removeEventListener: () => undefined };
  vi.stubGlobal("addEventListener", page.addEventListener);
  vi.stubGlobal("removeEventListener", page.removeEventListener);
  vi.stubGlobal("window", page);
  vi.stubGlobal("document", { ...page, visibilityState: "visible" });
}

/** A gallery of so many pictures, and what is done with them. */
class World {
  readonly copied: string[] = [];
  readonly deleted: string[][] = [];
  readonly keptHere: string[][] = [];
  readonly downloaded: (readonly Image[])[] = [];
  notSaved: ViewError[] = [];
  refused: string | null = null;
  /** What holds the next rows and deletions back. */
  hold: Promise<void> | null = null;
  /** What each gallery is asked for its uploads, and waits to be answered with. */
  readonly uploadsAsked: ((uploads: UploadView[]) => void)[] = [];
  readonly model: InstanceType<typeof AppModel>;

  constructor(count: number) {
    const sequences = Array.from({ length: count }, (_, index) => count - index);
    const backend = {
      uploads: () => new Promise<UploadView[]>((resolve) => this.uploadsAsked.push(resolve)),
      timeline: () => {
        const gone = new Set(this.deleted.flat());
        return Promise.resolve(aTimeline(sequences.filter((sequence) => !gone.has(`p${sequence}`))));
      },
      pictures: async (timeline: Timeline, start: number, end: number) => {
        await this.hold;
        return [...timeline.sequences.subarray(start, end)].map((sequence) => aPicture(sequence));
      },
      deleteImages: async (ids: string[]) => {
        await this.hold;
        if (this.refused !== null && ids.includes(this.refused))
          throw new BackendError("unauthorized", "No token.");
        this.deleted.push(ids);
        return { deleted: ids, queued: [], failed: [] };
      },
      offline: { keep: (ids: string[]) => Promise.resolve(void this.keptHere.push(ids)) },
      download: (images: readonly Image[]) => {
        this.downloaded.push(images);
        const saved = images.length - this.notSaved.length;
        return Promise.resolve({ path: "/x", saved, failed: this.notSaved });
      },
      links: null,
      copyLink: (text: string) => Promise.resolve(void this.copied.push(text)),
    };
    this.model = new AppModel(backend as unknown as Backend);
    this.model.entered(aState("https://one.example"));
  }

  async selectAll(): Promise<void> {
    await settled();
    const { gallery } = this.model;
    gallery.selection = selectStretch(NOTHING, gallery.timeline, 0, gallery.timeline.sequences.length);
  }
}

beforeEach(() => void vi.useRealTimers());

it("downloads offline what is here, and tells of the first that is not", async () => {
  const { model, downloaded } = new World(2);
  const state = aState("https://one.example");
  model.entered({ ...state, server: { ...state.server!, reachable: false } });
  const [away, here] = [aPicture(2), { ...aPicture(1), kept: true, original_here: true }];
  await model.download([away, here]);
  expect(downloaded).toEqual([[here.image]]);
  const text = `${strings.savedTo("/x")}. ${strings.downloadOffline(away.image.file_name)}`;
  expect(model.notice).toMatchObject({ text, failed: true });
});

it("downloads several into one folder, and tells what did not come", async () => {
  const world = new World(3);
  const pictures = [aPicture(3), aPicture(2), aPicture(1)];
  await world.model.download(pictures);
  expect(world.downloaded).toEqual([pictures.map(({ image }) => image)]);
  expect(world.model.notice).toMatchObject({ text: strings.savedInto(3, "/x"), failed: false });
  world.notSaved = [{ code: "disk_failed", message: "x is full" }];
  await world.model.download(pictures);
  expect(world.model.notice).toMatchObject({ text: strings.savedSome(2, 1, "X is full."), failed: true });
});

it("a kept original that did not come is asked about, and what is known then is shown", async () => {
  const { model } = new World(2);
  const kept = { ...aPicture(2), kept: true, original_here: true };
  let known: typeof kept | null = { ...kept, original_here: false };
  Object.assign(model.backend, { picture: () => Promise.resolve(known) });
  model.viewing = kept;
  await model.lookAgain(kept);
  expect(model.viewing).toMatchObject({ kept: true, original_here: false });

  // Nobody knows: it stays as it is.
  known = null;
  model.viewing = kept;
  await model.lookAgain(kept);
  expect(model.viewing).toEqual(kept);
});

describe("of very many selected pictures", () => {
  it("no links are copied and none is downloaded, and it says so", async () => {
    const world = new World(501);
    await world.selectAll();
    const { model } = world;
    await model.copySelectedLinks();
    expect(model.notice).toMatchObject({ text: strings.tooManyLinks(500), failed: true });
    await model.downloadSelected();
    expect(model.notice).toMatchObject({ text: strings.tooManyDownloads(50), failed: true });
    expect(world.copied).toEqual([]);
    expect(world.downloaded).toEqual([]);

    model.gallery.selection = toggle(model.gallery.selection, 7);
    await model.copySelectedLinks();
    expect(world.copied[0]!.split("\n")).toHaveLength(500);
    expect(model.notice).toMatchObject({ text: strings.linksCopied(500), failed: false });
  });

  it("all are kept, a stretch after the other, and it is told once", async () => {
    const world = new World(1200);
    await world.selectAll();
    await world.model.keepSelected();
    expect(world.keptHere.map(({ length }) => length)).toEqual([500, 500, 200]);
    expect(new Set(world.keptHere.flat()).size).toBe(1200);
    expect(world.model.notice).toMatchObject({ number: 1, text: strings.keptOffline(1200) });
  });

  it("all are hidden at once and deleted in stretches", async () => {
    const world = new World(1200);
    await world.selectAll();
    const { model } = world;
    await model.deleteSelected();
    expect(model.undoable).toHaveLength(1200);
    expect(model.gallery.timeline.sequences).toHaveLength(0);
    expect(world.deleted).toEqual([]);
    model.deleteNow();
    await settled();
    expect(world.deleted.map(({ length }) => length)).toEqual([500, 500, 200]);
    expect(model.gallery.timeline.sequences).toHaveLength(0);
    expect(model.notice).toBeNull();
  });

  it("one is leaving until it is deleted, and not for as long as it can be undone only", async () => {
    const world = new World(2);
    await settled();
    const { model } = world;
    const [first, second] = [1, 2].map((sequence) => ({ id: `p${sequence}`, sequence, file_name: "" }));
    if (first === undefined || second === undefined) throw new Error("two were made");
    model.deleteDoomed([first]);
    expect(model.leaving).toEqual([first]);
    model.undoDeletion();
    expect(model.leaving).toEqual([]);

    let go: () => void = () => undefined;
    world.hold = new Promise((resolve) => (go = resolve));
    model.deleteDoomed([first]);
    // The time of the first is over with that.
    model.deleteDoomed([second]);
    await settled();
    expect(model.leaving).toEqual([first, second]);
    go();
    await settled();
    expect(world.deleted).toEqual([["p1"]]);
    expect(model.leaving).toEqual([second]);
    model.undoDeletion();
    expect(model.leaving).toEqual([]);
  });

  it("those of a stretch that is refused come back, the others do not", async () => {
    const world = new World(1200);
    world.refused = "p1";
    await world.selectAll();
    const { model } = world;
    await model.deleteSelected();
    model.deleteNow();
    await settled();
    expect(model.gallery.timeline.sequences).toHaveLength(200);
    expect(model.notice).toMatchObject({
      text: strings.deletionFailed("p200.jpg", 200, "No token."),
      failed: true,
    });
  });

  it("none is deleted when another gallery is shown before all are known", async () => {
    const world = new World(1200);
    await world.selectAll();
    const { model } = world;
    let go: () => void = () => undefined;
    world.hold = new Promise((resolve) => (go = resolve));
    const deleting = model.deleteSelected();
    model.entered(aState("https://other.example"));
    go();
    await deleting;
    expect(model.undoable).toBeNull();
  });
});

/** An app at one gallery that shows what is in `queue`, and hears when there is more. */
async function started(queue: Wanted[], session: object) {
  const heard: { events?: BackendEvents } = {};
  const backend = {
    listen: (told: BackendEvents) => {
      heard.events = told;
      return Promise.resolve(() => undefined);
    },
    state: () => Promise.resolve(aState("https://one.example")),
    uploads: () => Promise.resolve([]),
    timeline: () => Promise.resolve(aTimeline([])),
    desktop: { takeWanted: () => Promise.resolve(queue.shift() ?? null), asked: () => Promise.resolve(null) },
    intake: { kind: "native" },
    session: { kind: "desktop", ...session },
  };
  stubPage();
  const model = new AppModel(backend as unknown as Backend);
  const stop = model.start();
  await settled();
  const wants = (wanted: Wanted) => {
    queue.push(wanted);
    heard.events!.wantedChanged();
    return settled();
  };
  return { model, stop, wants };
}

describe("what was asked for elsewhere", () => {
  it("is shown in its order, and a question stays what it is until it is answered", async () => {
    const queue: Wanted[] = [
      { kind: "failure", message: "no picture" },
      { kind: "connect", server: "https://one.example/" },
      { kind: "connect", server: "https://two.example" },
    ];
    const visited: string[] = [];
    const { model, stop, wants } = await started(queue, {
      galleries: () => Promise.resolve([{ url: "https://two.example", name: "Two", local: false }]),
      visit: (server: string) => {
        visited.push(server);
        return Promise.resolve(aState(server, 1));
      },
    });
    expect(model.notice).toMatchObject({ text: "No picture.", failed: true });
    // The gallery that is shown is no question; one that is known has its name.
    expect(model.connecting).toEqual({ server: "https://two.example", name: "Two", image: null });

    await wants({ kind: "connect", server: "https://evil.example" });
    expect(model.connecting).toEqual({ server: "https://two.example", name: "Two", image: null });
    await model.connectAsked();
    await settled();
    expect(visited).toEqual(["https://two.example"]);
    // Then the next, as a question of its own.
    expect(model.connecting).toEqual({ server: "https://evil.example", name: null, image: null });
    model.stayHere();
    await settled();
    expect([model.connecting, visited.length]).toEqual([null, 1]);
    stop();
  });
});

it("asks for the token that an upload of this gallery wants", async () => {
  const queue: Wanted[] = [{ kind: "token", server: "https://two.example/" }];
  const done: string[] = [];
  const { model, stop, wants } = await started(queue, {
    connect: (server: string, token: string) => {
      done.push(`${token} to ${server}`);
      return Promise.resolve(aState(server, 1));
    },
  });
  // It was another gallery's.
  expect(model.unsigned).toBeNull();
  await wants({ kind: "token", server: "https://one.example" });
  expect(model.unsigned).toEqual([]);
  await model.signIn("secret", false);
  expect([model.unsigned, ...done]).toEqual([null, "secret to https://one.example"]);

  // What is being typed for one gallery is not sent to the next.
  model.unsigned = [];
  model.entered(aState("https://two.example", 2));
  expect(model.unsigned).toBeNull();
  stop();
});

it("the uploads of another gallery are its own", async () => {
  const { model, uploadsAsked } = new World(0);
  const names = () => model.uploads.list.map(({ id }) => id);
  model.uploads.apply([anUpload("one")]);
  model.entered(aState("https://one.example", 1));
  expect(names()).toEqual(["one"]);
  model.entered(aState("https://two.example", 2));
  expect(names()).toEqual([]);
  model.entered(aState("https://three.example", 3));
  // The first answer is about a gallery that is shown no more.
  const [second, third] = uploadsAsked;
  third!([anUpload("three")]);
  second!([anUpload("two")]);
  await settled();
  expect(names()).toEqual(["three"]);
});

it("a state that was overtaken on its way changes nothing", () => {
  const { model } = new World(0);
  const now = aState("https://one.example", 3);
  model.entered(now);
  const before = aState("https://one.example", 2);
  before.server!.mirror!.phase = "filling";
  model.entered(before);
  expect(model.app).toBe(now);
  const after = aState("https://one.example", 4);
  model.entered(after);
  expect(model.app).toBe(after);
});
