//! Which keys move in the grid, and from where in the window they may.

import type { Move } from "./layout";

const MOVES: ReadonlyMap<string, Move> = new Map([
  ["ArrowUp", "up"],
  ["ArrowDown", "down"],
  ["Home", "home"],
  ["End", "end"],
  ["PageUp", "pageUp"],
  ["PageDown", "pageDown"],
]);

/** What a key means; `mirrored` where lines begin at the right. */
export function moveOf(key: string, mirrored: boolean): Move | undefined {
  if (key === "ArrowLeft") return mirrored ? "after" : "before";
  if (key === "ArrowRight") return mirrored ? "before" : "after";
  return MOVES.get(key);
}

/** Moves to a picture beside another one. Whoever comes from elsewhere has none yet and enters at what is in sight. */
export const isStep = (move: Move): boolean =>
  move === "before" || move === "after" || move === "up" || move === "down";

/** Makes the pictures larger, smaller, or as large as usual. */
export const isZoom = (event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">): boolean =>
  (event.ctrlKey || event.metaKey) && !event.altKey && ["+", "=", "-", "0"].includes(event.key);

/** Does something to the picture where keys act, or to what is selected in its place. */
export const actsOnPicture = (event: Pick<KeyboardEvent, "key" | "shiftKey">, selecting: boolean): boolean =>
  [" ", "Enter", "ContextMenu"].includes(event.key) ||
  (event.key === "F10" && event.shiftKey) ||
  (event.key === "Delete" && !selecting);

/** What has a use of its own for such keys: texts, values, menus, and the list of uploads, which scrolls. */
const WITH_KEYS =
  "input, textarea, select, [contenteditable], dialog, aside, [role=menu], [role=slider], [role=dialog]";

/** Whether keys that are pressed there are nobody else's. */
export const leavesKeys = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest(WITH_KEYS) === null;
