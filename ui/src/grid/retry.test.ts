import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Retry } from "./retry";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Of what never comes. */
function missing() {
  const asked = vi.fn();
  const retry = new Retry(asked);
  asked.mockImplementation(() => retry.failed());
  return { asked, retry };
}

it("what does not come is asked for three times more, and then left alone", () => {
  const { asked, retry } = missing();
  retry.failed();
  vi.advanceTimersByTime(1499);
  expect(asked).toHaveBeenCalledTimes(0);
  vi.advanceTimersByTime(1);
  expect(asked).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(600_000);
  expect(asked).toHaveBeenCalledTimes(3);
});

it("it is asked for at once when it may come again, also after it was left alone", () => {
  const { asked, retry } = missing();
  retry.failed();
  vi.advanceTimersByTime(600_000);
  retry.again();
  expect(asked).toHaveBeenCalledTimes(4);
  vi.advanceTimersByTime(600_000);
  expect(asked).toHaveBeenCalledTimes(7);
});

it("what came, or is not wanted, is not asked for", () => {
  const asked = vi.fn();
  const retry = new Retry(asked);
  retry.again();
  retry.failed();
  retry.end();
  retry.again();
  vi.advanceTimersByTime(600_000);
  expect(asked).not.toHaveBeenCalled();
});

it("what waits for its pause is asked for once when it may come", () => {
  const asked = vi.fn();
  const retry = new Retry(asked);
  retry.failed();
  retry.again();
  vi.advanceTimersByTime(600_000);
  expect(asked).toHaveBeenCalledTimes(1);
});
