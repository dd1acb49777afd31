//! Right-to-left safe: no style names a side by "left" or "right" where the direction of writing decides.

import { readdirSync, readFileSync } from "node:fs";

import { expect, it } from "vitest";

const FOLDER = new URL("..", import.meta.url);

/** By path. Read from the disk: the test runner gives style sheets to nobody. */
const sources = new Map(
  readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(svelte|css)$/.test(path))
    .map((path) => [path.replaceAll("\\", "/"), readFileSync(new URL(path, FOLDER), "utf8")]),
);

const PHYSICAL =
  /(?<![-\w])(?:(?:margin|padding|border)-(?:left|right)|(?:left|right)\s*:|text-align:\s*(?:left|right)|float\s*:|inset-(?:left|right))/g;

/** Where what stands is computed for either direction, or is a point of the pointer's. */
const COMPUTED: Record<string, number> = {
  // A cell's place, which the grid mirrors.
  "styles/cells.css": 1,
};

/** The style of a component, without comments. */
const styleOf = (path: string, source: string): string => {
  const style = path.endsWith(".css") ? source : (/<style>([\s\S]*)<\/style>/.exec(source)?.[1] ?? "");
  return style.replace(/\/\*[\s\S]*?\*\//g, "");
};

it("names no side", () => {
  const found: Record<string, number> = {};
  let styled = 0;
  for (const [path, source] of sources) {
    const style = styleOf(path, source);
    if (style !== "") styled += 1;
    const sides: string[] = style.match(PHYSICAL) ?? [];
    // Four values around a box hide a side too: the second and the fourth must be the same.
    for (const [, values] of style.matchAll(/(?:margin|padding|inset):\s*([^;]+);/g)) {
      const parts = values!.trim().match(/(?:[^\s(]|\([^)]*\))+/g) ?? [];
      if (parts.length === 4 && parts[1] !== parts[3]) sides.push(values!);
    }
    if (sides.length > 0) found[path] = sides.length;
  }
  expect(found).toEqual(COMPUTED);
  expect(styled).toBeGreaterThan(20);
});
