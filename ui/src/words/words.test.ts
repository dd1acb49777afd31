import { describe, expect, it } from "vitest";

import { CATALOGUE } from "../strings";
import { grammarOf } from "./grammar";

type Texts = { readonly [key: string]: string | ((...values: never[]) => string) | Texts };

/** One, several and many, which no other number in a text is. */
const COUNTS = [1, 7, 4321];

/** Each text of a catalogue by its path. */
function flat(texts: Texts, path = ""): Map<string, string | ((...values: never[]) => string)> {
  const found = new Map<string, string | ((...values: never[]) => string)>();
  for (const [key, text] of Object.entries(texts)) {
    if (typeof text !== "object") found.set(path + key, text);
    else for (const [inner, value] of flat(text, `${path}${key}.`)) found.set(inner, value);
  }
  return found;
}

/** Which of what it is given a text shows, for each count that it may be given; a number stands for a word as well. */
function shown(text: (...values: never[]) => string): string[] {
  return COUNTS.map((count) => {
    const values = [count, count + 1, count + 2].slice(0, text.length);
    const told = text(...(values as never[]));
    expect(told).not.toMatch(/undefined|NaN|\[object|#/);
    const digits = told.replace(/[.,\u202f\u00a0]/g, "");
    return values.map((value) => (digits.includes(String(value)) ? "shown" : "left out")).join(" ");
  });
}

const english = flat(CATALOGUE.en(grammarOf("en")) as unknown as Texts);

describe.each(Object.keys(CATALOGUE) as (keyof typeof CATALOGUE)[])("in %s", (language) => {
  const texts = flat(CATALOGUE[language](grammarOf(language)) as unknown as Texts);

  it("there is every text, and none is empty", () => {
    expect([...texts.keys()].sort()).toEqual([...english.keys()].sort());
    for (const [key, text] of texts) if (typeof text === "string") expect(text.trim(), key).not.toBe("");
  });

  it("texts show what the English ones show", () => {
    for (const [key, text] of texts) {
      const original = english.get(key);
      expect(typeof text, key).toBe(typeof original);
      // Told of its own below: what it is given is no count.
      if (key === "failed" || typeof text !== "function" || typeof original !== "function") continue;
      expect(text.length, key).toBe(original.length);
      expect(shown(text), key).toEqual(shown(original));
    }
  });
});

it("languages with more than two forms have each", () => {
  const { plural } = grammarOf("pl");
  const pictures = (count: number): string =>
    plural(count, "# obraz", "# obrazu", { few: "# obrazy", many: "# obrazów" });
  expect([1, 2, 5, 22, 1.5].map(pictures)).toEqual([
    "1 obraz",
    "2 obrazy",
    "5 obrazów",
    "22 obrazy",
    "1,5 obrazu",
  ]);
});

it("a failure is told in German, with the core's words where they tell more", () => {
  const { failed } = CATALOGUE.de(grammarOf("de"));
  expect(failed("store_full", "the disk is full")).toMatch(/^Der Speicher der Galerie ist voll; [^(]*\.$/);
  const large = failed("too_large", '"$& a.jpg" has 9 bytes.');
  expect(large).toBe('Die Datei ist größer, als diese Galerie annimmt ("$& a.jpg" has 9 bytes).');
  expect(failed("too_large", large)).toBe(large);
  expect(failed("from_a_newer_server", "Something else.")).toBe("Something else.");
});

it("numbers are written as the language writes them", () => {
  expect(CATALOGUE.de(grammarOf("de")).selectedCount(1234)).toBe("1.234 ausgewählt");
  expect(CATALOGUE.en(grammarOf("en")).selectedCount(1234)).toBe("1,234 selected");
});
