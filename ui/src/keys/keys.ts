//! All keys of the grid and of the viewer, as they are told. What they do is where they are pressed: `grid/Grid.svelte`,
//! `viewer/Viewer.svelte`, `TopBar.svelte`.

/** A key with a name in each language. What is no such name is what stands on the key. */
export type KeyName =
  | "control"
  | "shift"
  | "enter"
  | "space"
  | "escape"
  | "delete"
  | "home"
  | "end"
  | "pageUp"
  | "pageDown"
  | "menu";

export type Key = KeyName | (string & {});

/** What is pressed together. */
export type Chord = readonly Key[];

export interface Line {
  readonly id: string;
  /** Each of these does it. */
  readonly chords: readonly Chord[];
  /** Only for who may change the gallery. */
  readonly writes?: true;
}

export const GRID_KEYS = [
  { id: "search", chords: [["/"], ["control", "F"]] },
  { id: "results", chords: [["↓"], ["enter"]] },
  { id: "walk", chords: [["←"], ["→"], ["↑"], ["↓"]] },
  { id: "page", chords: [["pageUp"], ["pageDown"]] },
  { id: "ends", chords: [["home"], ["end"]] },
  { id: "open", chords: [["enter"]] },
  { id: "select", chords: [["space"]] },
  {
    id: "extend",
    chords: [
      ["shift", "→"],
      ["shift", "space"],
    ],
  },
  { id: "selectAll", chords: [["control", "A"]] },
  { id: "deselect", chords: [["escape"]] },
  { id: "menu", chords: [["menu"], ["shift", "F10"]] },
  {
    id: "size",
    chords: [
      ["control", "+"],
      ["control", "−"],
    ],
  },
  { id: "usualSize", chords: [["control", "0"]] },
  { id: "paste", chords: [["control", "V"]] },
  { id: "delete", chords: [["delete"]], writes: true },
  { id: "undo", chords: [["control", "Z"]], writes: true },
  { id: "keys", chords: [["?"]] },
] as const satisfies readonly Line[];

export const VIEWER_KEYS = [
  { id: "turn", chords: [["←"], ["→"]] },
  { id: "zoom", chords: [["+"], ["−"]] },
  { id: "fit", chords: [["0"]] },
  { id: "actual", chords: [["1"]] },
  { id: "slides", chords: [["space"]] },
  { id: "details", chords: [["I"]] },
  { id: "full", chords: [["F"]] },
  { id: "delete", chords: [["delete"]], writes: true },
  { id: "back", chords: [["escape"]] },
] as const satisfies readonly Line[];

export type GridKeys = (typeof GRID_KEYS)[number]["id"];
export type ViewerKeys = (typeof VIEWER_KEYS)[number]["id"];

/** Takes back what was done last. */
export const isUndo = (
  event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">,
): boolean =>
  (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "z";

/** Whether somebody is writing there, or goes over what they wrote: most keys are the text's then. */
export const isOfText = (target: EventTarget | null): boolean =>
  target instanceof Element &&
  target.closest("input:not([type=checkbox]), textarea, [contenteditable]") !== null;

/** On whose keyboard, and in which writing. */
export interface Board {
  readonly isApple: boolean;
  /** Where lines begin at the right, what comes next is at the left. */
  readonly mirrored: boolean;
}

/** What is written on a key: its name in the user's language, or the key itself. Lists are of lines that begin at the left. */
export function keyCap(
  key: Key,
  names: Readonly<Record<KeyName, string>>,
  { isApple, mirrored }: Board,
): string {
  // The page takes either key there; this is the one that people know.
  if (key === "control" && isApple) return "⌘";
  if (mirrored && key === "←") return "→";
  if (mirrored && key === "→") return "←";
  return Object.hasOwn(names, key) ? names[key as KeyName] : key;
}

/** The lines that are for this user. */
export const linesFor = <L extends Line>(lines: readonly L[], mayWrite: boolean): L[] =>
  lines.filter(({ writes }) => mayWrite || writes !== true);
