//! Which element shows which picture. Elements are few and are used again: a picture that stays in sight keeps its
//! element, one that comes into sight takes over the element of one that left.
//!
//! Invariant: two pictures never have the same slot, and there are never more slots than pictures were ever wanted
//! at once.

/** Slot by picture id. */
export type Slots = ReadonlyMap<string, number>;

export function assignSlots(before: Slots, wanted: readonly string[]): Slots {
  const after = new Map<string, number>();
  const taken = new Set<number>();
  for (const id of wanted) {
    const slot = before.get(id);
    if (slot === undefined) continue;
    after.set(id, slot);
    taken.add(slot);
  }
  let free = 0;
  for (const id of wanted) {
    if (after.has(id)) continue;
    while (taken.has(free)) free += 1;
    after.set(id, free);
    taken.add(free);
  }
  return after;
}
