//! The key for every program, from what somebody presses.
//!
//! Pure functions. Invariant: what is made of a press is what the app understands, or none.

export type Press = Pick<KeyboardEvent, "key" | "code" | "ctrlKey" | "altKey" | "shiftKey" | "metaKey">;

/** As the app writes them: the names of its `Hotkey`. */
const NAMED: Readonly<Record<string, string>> = {
  PrintScreen: "Print",
  Pause: "Pause",
  Insert: "Insert",
  Delete: "Delete",
  Home: "Home",
  End: "End",
  PageUp: "PageUp",
  PageDown: "PageDown",
  " ": "Space",
};

/** Whether it is the key that WebKitGTK does not count among those that are held with another. */
export function isSuper({ key, code }: Press): boolean {
  return /^(?:OS|Meta)(?:Left|Right)$/.test(code) || /^(?:Meta|Super|OS)$/.test(key);
}

/** What is held: `Ctrl+Alt+`. */
export function heldOf({ ctrlKey, altKey, shiftKey, metaKey }: Press): string {
  const held = [ctrlKey && "Ctrl+", altKey && "Alt+", shiftKey && "Shift+", metaKey && "Super+"];
  return held.filter((name) => name !== false).join("");
}

/** `Ctrl+Alt+U`; null for a key that the app has no name for, and while only what is held is pressed. */
export function hotkeyOf(press: Press): string | null {
  const name = nameOf(press);
  return name === null ? null : heldOf(press) + name;
}

/** The app's name of a key in the reader's words, as they stand on the keyboard. */
export function hotkeyInWords(
  hotkey: string,
  { control, shift }: Record<"control" | "shift", string>,
): string {
  return hotkey.replace(/\b(Ctrl|Shift)\+/g, (_, held) => `${held === "Ctrl" ? control : shift}+`);
}

function nameOf({ key, code }: Press): string | null {
  const named = NAMED[key];
  if (named !== undefined) return named;
  if (/^F([1-9]|1\d|2[0-4])$/.test(key)) return key;
  if (/^[a-z0-9]$/i.test(key)) return key.toUpperCase();
  // What is held makes another character of it: the one that it is by its place.
  return /^(?:Key|Digit)([A-Z0-9])$/.exec(code)?.[1] ?? null;
}
