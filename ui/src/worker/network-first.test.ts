import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { networkFirst, PATIENCE } from "./network-first";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const none = () => Promise.resolve(null);
const old = () => Promise.resolve(new Response("old"));
const text = async (answer: Promise<Response>) => (await answer).text();

it("what the server answers in time is the answer, also when it refuses", async () => {
  const kept = vi.fn(old);
  expect(await text(networkFirst({ ask: () => Promise.resolve(new Response("new")), kept }))).toBe("new");
  const refused = await networkFirst({
    ask: () => Promise.resolve(new Response("", { status: 404 })),
    kept,
  });
  expect(refused.status).toBe(404);
  expect(kept).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});

it.each([502, 503, 504])("%i is no answer where something is kept", async (status) => {
  const ask = () => Promise.resolve(new Response("gateway", { status }));
  expect(await text(networkFirst({ ask, kept: old }))).toBe("old");
  expect(await text(networkFirst({ ask, kept: none }))).toBe("gateway");
});

it("without a network what is kept is answered, even when it is empty", async () => {
  const ask = () => Promise.reject<Response>(new TypeError("no network"));
  const kept = (evenEmpty: boolean) => (evenEmpty ? old() : none());
  expect(await text(networkFirst({ ask, kept }))).toBe("old");
  await expect(networkFirst({ ask, kept: none })).rejects.toThrow("no network");
});

it("who is slow is waited for only where nothing is kept", async () => {
  let come: (answer: Response) => void = () => undefined;
  const ask = () => new Promise<Response>((resolve) => (come = resolve));
  const soon = networkFirst({ ask, kept: old });
  await vi.advanceTimersByTimeAsync(PATIENCE);
  expect(await text(soon)).toBe("old");

  const later = networkFirst({ ask, kept: none });
  await vi.advanceTimersByTimeAsync(10 * PATIENCE);
  come(new Response("at last"));
  expect(await text(later)).toBe("at last");
});

it("a slow one that fails in the end disturbs nobody", async () => {
  let fail: (thrown: Error) => void = () => undefined;
  const ask = () => new Promise<Response>((_, reject) => (fail = reject));
  const answer = networkFirst({ ask, kept: old });
  await vi.advanceTimersByTimeAsync(PATIENCE);
  expect(await text(answer)).toBe("old");
  fail(new TypeError("no network"));
  await vi.advanceTimersByTimeAsync(0);
});
