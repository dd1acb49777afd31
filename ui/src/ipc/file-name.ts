//! File names as the server takes them; the rules are those of `FileName` in `imgn-protocol`.

const MAX_BYTES = 255;

// Path separators, control characters, and the characters that reorder the text around them.
const FORBIDDEN = /[/\\\p{Cc}\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\u2028\u2029]/gu;

/** The nearest name to the one that the browser tells. */
export function cleanFileName(name: string): string {
  const kept = name.replace(FORBIDDEN, "_").trim();
  if (kept === "" || kept === "." || kept === "..") return "picture";
  return shorten(kept);
}

function shorten(name: string): string {
  const bytes = new TextEncoder();
  if (bytes.encode(name).length <= MAX_BYTES) return name;
  const dot = name.lastIndexOf(".");
  const ending = dot > 0 && name.length - dot <= 16 ? name.slice(dot) : "";
  const room = MAX_BYTES - bytes.encode(ending).length;
  let kept = "";
  let used = 0;
  for (const character of name.slice(0, name.length - ending.length)) {
    used += bytes.encode(character).length;
    if (used > room) break;
    kept += character;
  }
  return kept + ending;
}
