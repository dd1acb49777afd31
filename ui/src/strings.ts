//! Every text that people read, in their language. The texts themselves are in `words/`.

import type { Language } from "./languages";
import { locale } from "./locale";
import { german } from "./words/de";
import { english } from "./words/en";
import { grammarOf, type Grammar } from "./words/grammar";

/** English is where a text is written first; every other language has the same ones. */
export type Strings = ReturnType<typeof english>;

export const CATALOGUE: Record<Language, (grammar: Grammar) => Strings> = { en: english, de: german };

export const strings: Strings = CATALOGUE[locale.language](grammarOf(locale.tag));
