import { expect, it } from "vitest";

import { byKeysAfter } from "./modality";

const after = (events: readonly ({ type: string; key?: string } | string)[], before = false) =>
  events.reduce<boolean>(
    (now, event) => byKeysAfter(typeof event === "string" ? { type: "keydown", key: event } : event, now),
    before,
  );
const PRESS = { type: "pointerdown" };

it("keys that move are seen from the first one on, also after a click", () => {
  expect(after([PRESS, "ArrowDown"])).toBe(true);
  // A menu that a right click opened and Escape closed.
  expect(after([PRESS, "Escape", "Home"])).toBe(true);
  expect(after([PRESS, "F10"])).toBe(true);
});

it("a pointer takes it over again, and what is typed does not", () => {
  expect(after(["Tab", PRESS])).toBe(false);
  expect(after([PRESS, "a", "Control", "0"])).toBe(false);
  expect(after(["Tab", "a", { type: "keyup", key: "Tab" }])).toBe(true);
});
