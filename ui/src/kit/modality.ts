//! Whether the page is being used by keys: then the place that they act on is seen, however the focus came there.
//!
//! Browsers decide by `:focus-visible`. WebKit goes by how the focus moved last and not by the key that was pressed since:
//! after a click, what a script gives the focus to for a key shows no ring. `styles/by-keys.ts` makes that selector look here, too.

/** On the root while keys are what is used. */
export const BY_KEYS = "byKeys";

/** Keys that move, choose or lead out. Whoever types is seen where the text is. */
const NAVIGATION = new Set([
  "Tab",
  "Escape",
  "Enter",
  " ",
  "ArrowUp",
  "ArrowDown",
  "ArrowLeft",
  "ArrowRight",
  "Home",
  "End",
  "PageUp",
  "PageDown",
  "Delete",
  "ContextMenu",
  "F10",
]);

/** Whether keys are what is used after an event; what is no such event leaves it as it is. */
export function byKeysAfter(
  event: { readonly type: string; readonly key?: string },
  before: boolean,
): boolean {
  if (event.type === "pointerdown") return false;
  return before || (event.type === "keydown" && NAVIGATION.has(event.key ?? ""));
}

/** Keeps the root's mark true. Before anybody else hears of the event: what they draw for it is right at once. */
export function watchModality(root: HTMLElement = document.documentElement): void {
  const hear = (event: Event) => {
    const now = byKeysAfter(event as KeyboardEvent | PointerEvent, BY_KEYS in root.dataset);
    if (now) root.dataset[BY_KEYS] = "";
    else delete root.dataset[BY_KEYS];
  };
  addEventListener("keydown", hear, true);
  addEventListener("pointerdown", hear, true);
}
