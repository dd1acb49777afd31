//! Which language people read here: the address's `?lang=`, or else the one that was chosen (`look.ts`), or else the first
//! of the browser's that there are texts in.

import { LANGUAGES, type Language } from "./languages";

export interface Locale {
  readonly language: Language;
  /** For numbers and dates: with its region, where the browser names one. */
  readonly tag: string;
}

const languageOf = (tag: string) =>
  LANGUAGES.find((language) => language === tag.toLowerCase().split(/[-_]/)[0]);

export function chooseLocale(asked: string | null, preferred: readonly string[]): Locale {
  const candidates = asked === null ? preferred : [asked, ...preferred];
  for (const tag of candidates) {
    const language = languageOf(tag);
    if (language === undefined) continue;
    // Somebody who reads German in a browser of Austria wants Austria's dates.
    const regional = preferred.find((other) => languageOf(other) === language) ?? tag;
    return { language, tag: isTag(regional) ? regional : language };
  }
  return { language: "en", tag: "en" };
}

function isTag(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}

/** Of this page. Unit tests have neither an address nor a browser, and read English. */
export const locale: Locale = chooseLocale(
  typeof location === "undefined"
    ? null
    : (new URLSearchParams(location.search).get("lang") ??
        document.documentElement.dataset["language"] ??
        null),
  typeof document === "undefined" ? [] : navigator.languages,
);
