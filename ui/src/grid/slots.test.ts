import { expect, it } from "vitest";

import { assignSlots, type Slots } from "./slots";

it("what stays keeps its slot, what comes takes a free one", () => {
  const first = assignSlots(new Map(), ["a", "b", "c"]);
  const second = assignSlots(first, ["b", "c", "d"]);
  expect(second.get("b")).toBe(first.get("b"));
  expect(second.get("c")).toBe(first.get("c"));
  expect(second.get("d")).toBe(first.get("a"));
});

it("scrolling through a gallery uses no more slots than are seen at once", () => {
  let slots: Slots = new Map();
  const used = new Set<number>();
  for (let start = 0; start < 1000; start += 7) {
    const size = 30 + (start % 11);
    slots = assignSlots(
      slots,
      Array.from({ length: size }, (_, offset) => `${start + offset}`),
    );
    expect(new Set(slots.values()).size).toBe(size);
    for (const slot of slots.values()) used.add(slot);
  }
  expect(used.size).toBe(40);
});
