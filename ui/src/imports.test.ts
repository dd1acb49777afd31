//! The folders depend on each other in one direction.

import { expect, it } from "vitest";

/** What each folder may import from, beside itself, `strings.ts`, `locale.ts` and `look.ts`. */
const ALLOWED: Record<string, readonly string[]> = {
  ipc: ["worker"],
  words: ["ipc", "keys"],
  worker: [],
  keys: ["kit"],
  kit: [],
  styles: [],
  state: ["ipc"],
  grid: ["ipc", "kit", "state"],
  settings: ["ipc", "kit", "links", "state"],
  history: ["ipc", "kit", "state"],
  links: ["ipc", "kit"],
  uploads: ["ipc", "kit", "links", "state"],
  viewer: ["ipc", "kit", "state", "words"],
};

const sources = import.meta.glob<string>("./*/**/*.{ts,svelte}", {
  query: "?raw",
  import: "default",
  eager: true,
});

it("no folder imports from where it is not allowed to", () => {
  const wrong: string[] = [];
  let imports = 0;
  for (const [path, source] of Object.entries(sources)) {
    const folder = path.split("/")[1]!;
    expect(ALLOWED, `a folder that the rules do not know: ${folder}`).toHaveProperty(folder);
    for (const [, target] of source.matchAll(/from\s+"\.\.\/([a-z]+)\//g)) {
      imports += 1;
      if (!ALLOWED[folder]!.includes(target!)) wrong.push(`${path} -> ${target}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(imports).toBeGreaterThan(20);
});
