//! What every language's texts are made with: numbers, and the forms that go with them.

export interface Grammar {
  /** A whole number as it is written. */
  number(value: number): string;
  /** The form that goes with `count`, with the number in the place of `#`. */
  plural(count: number, one: string, other: string): string;
}

/** Of a language with one form for one and one for all else, as English and German are. */
export function grammarOf(locale: string): Grammar {
  const numbers = new Intl.NumberFormat(locale);
  const plurals = new Intl.PluralRules(locale);
  return {
    number: (value) => numbers.format(value),
    plural: (count, one, other) =>
      (plurals.select(count) === "one" ? one : other).replace("#", numbers.format(count)),
  };
}
