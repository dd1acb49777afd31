//! What every language's texts are made with: numbers, and the forms that go with them.

/** Forms beside one and other, as Unicode names them: Polish has few and many, Arabic all. */
export type Forms = Partial<Record<Exclude<Intl.LDMLPluralRule, "one" | "other">, string>>;

export interface Grammar {
  /** A whole number as it is written. */
  number(value: number): string;
  /** The form that goes with `count`, with the number in the place of `#`; languages with more than two have `more`. */
  plural(count: number, one: string, other: string, more?: Forms): string;
}

/** Of a language, by its own rules for numbers and plurals. */
export function grammarOf(locale: string): Grammar {
  const numbers = new Intl.NumberFormat(locale);
  const plurals = new Intl.PluralRules(locale);
  return {
    number: (value) => numbers.format(value),
    plural: (count, one, other, more) =>
      (({ one, ...more })[plurals.select(count) as "one"] ?? other).replace("#", numbers.format(count)),
  };
}
