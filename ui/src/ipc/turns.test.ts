import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { hurryWhenLeaving, Turns } from "./turns";

/** Things that end when they are told to. */
class Things {
  readonly begun: number[] = [];
  readonly #ends = new Map<number, { resolve: () => void; reject: (thrown: Error) => void }>();

  readonly act = (number: number) => () => {
    this.begun.push(number);
    return new Promise<void>((resolve, reject) => this.#ends.set(number, { resolve, reject }));
  };

  async end(number: number): Promise<void> {
    this.#ends.get(number)!.resolve();
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  }

  async fail(number: number): Promise<void> {
    this.#ends.get(number)!.reject(new Error("no"));
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  }
}

it("so many are under way, and each that ends or fails makes room for the next", async () => {
  const turns = new Turns(2);
  const things = new Things();
  const all = [1, 2, 3, 4].map((number) => turns.take(things.act(number)));
  const settled = Promise.allSettled(all);
  expect(things.begun).toEqual([1, 2]);
  await things.fail(2);
  expect(things.begun).toEqual([1, 2, 3]);
  await things.end(1);
  expect(things.begun).toEqual([1, 2, 3, 4]);
  await things.end(4);
  await things.end(3);
  expect((await settled).map(({ status }) => status)).toEqual([
    "fulfilled",
    "rejected",
    "fulfilled",
    "fulfilled",
  ]);
});

describe("when the page is left", () => {
  let page: EventTarget & { visibilityState: string };
  let view: EventTarget;

  beforeEach(() => {
    page = Object.assign(new EventTarget(), { visibilityState: "visible" });
    view = new EventTarget();
    vi.stubGlobal("document", page);
    vi.stubGlobal("window", view);
  });
  afterEach(() => void vi.unstubAllGlobals());

  it("all that wait begin before it goes on, and so does what is asked for then", async () => {
    const turns = new Turns(1);
    const stop = hurryWhenLeaving(turns);
    const things = new Things();
    for (const number of [1, 2, 3]) void turns.take(things.act(number));
    expect(things.begun).toEqual([1]);
    view.dispatchEvent(new Event("pagehide"));
    void turns.take(things.act(4));
    expect(things.begun).toEqual([1, 2, 3, 4]);

    // It came back.
    view.dispatchEvent(new Event("pageshow"));
    void turns.take(things.act(5));
    expect(things.begun).toHaveLength(4);
    for (const number of [1, 2, 3, 4]) await things.end(number);
    expect(things.begun).toEqual([1, 2, 3, 4, 5]);
    stop();
  });

  it("and when it is hidden, until it is seen again", () => {
    const turns = new Turns(1);
    const stop = hurryWhenLeaving(turns);
    const things = new Things();
    for (const number of [1, 2]) void turns.take(things.act(number));
    page.visibilityState = "hidden";
    page.dispatchEvent(new Event("visibilitychange"));
    expect(things.begun).toEqual([1, 2]);
    page.visibilityState = "visible";
    page.dispatchEvent(new Event("visibilitychange"));
    void turns.take(things.act(3));
    stop();
    page.visibilityState = "hidden";
    page.dispatchEvent(new Event("visibilitychange"));
    expect(things.begun).toEqual([1, 2]);
  });
});
