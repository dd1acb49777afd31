import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Deletion, UNDO_TIME } from "./deletion";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function aDeletion() {
  const told: string[] = [];
  const deletion = new Deletion<string>({
    hide: (pictures) => told.push(`hide ${pictures.join()}`),
    show: (pictures) => told.push(`show ${pictures.join()}`),
    carryOut: async (pictures) => void told.push(`delete ${pictures.join()}`),
    pending: (pictures) => told.push(pictures === null ? "nothing to undo" : `undo ${pictures.join()}?`),
  });
  return { deletion, told };
}

it("is carried out when the time for undoing is over, and once", () => {
  const { deletion, told } = aDeletion();
  deletion.start(["a", "b"]);
  vi.advanceTimersByTime(UNDO_TIME - 1);
  expect(told).toEqual(["hide a,b", "undo a,b?"]);
  vi.advanceTimersByTime(1);
  expect(told.slice(2)).toEqual(["nothing to undo", "delete a,b"]);
  deletion.undo();
  void deletion.flush();
  vi.advanceTimersByTime(UNDO_TIME * 2);
  expect(told).toHaveLength(4);
});

it("is as if nothing had been when it is undone", () => {
  const { deletion, told } = aDeletion();
  deletion.start(["a"]);
  deletion.undo();
  vi.advanceTimersByTime(UNDO_TIME * 2);
  void deletion.flush();
  expect(told).toEqual(["hide a", "undo a?", "nothing to undo", "show a"]);
});

it("is carried out at once when the page is left, before that goes on", () => {
  const { deletion, told } = aDeletion();
  deletion.start(["a"]);
  void deletion.flush();
  expect(told.at(-1)).toBe("delete a");
});

it("of others ends the time of those before", () => {
  const { deletion, told } = aDeletion();
  deletion.start(["a"]);
  vi.advanceTimersByTime(UNDO_TIME / 2);
  deletion.start(["b"]);
  expect(told.slice(2)).toEqual(["nothing to undo", "delete a", "hide b", "undo b?"]);
  vi.advanceTimersByTime(UNDO_TIME - 1);
  deletion.undo();
  expect(told.at(-1)).toBe("show b");
  deletion.start([]);
  expect(vi.getTimerCount()).toBe(0);
});
