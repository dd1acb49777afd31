import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { LongPress } from "./long-press";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("is long when the finger stays, also when it trembles", () => {
  const act = vi.fn();
  const press = new LongPress();
  press.begin(100, 100, act);
  press.move(106, 104);
  expect(press.isDown).toBe(true);
  vi.advanceTimersByTime(450);
  expect(act).toHaveBeenCalledOnce();
  expect(press.wasLong).toBe(true);
  expect(press.isDown).toBe(false);
});

it.each([
  ["moves", (press: LongPress) => press.move(111, 100)],
  ["is lifted", (press: LongPress) => press.end()],
])("is not when the finger %s", (_name, happens) => {
  const act = vi.fn();
  const press = new LongPress();
  press.begin(100, 100, act);
  vi.advanceTimersByTime(300);
  happens(press);
  vi.advanceTimersByTime(1000);
  expect(act).not.toHaveBeenCalled();
  expect(press.wasLong).toBe(false);
});

it("forgets the one before when another finger comes down", () => {
  const [first, second] = [vi.fn(), vi.fn()];
  const press = new LongPress();
  press.begin(0, 0, first);
  press.begin(50, 50, second);
  vi.advanceTimersByTime(450);
  expect(first).not.toHaveBeenCalled();
  expect(second).toHaveBeenCalledOnce();
});
