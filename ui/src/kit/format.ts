//! Numbers, sizes, rates and dates in the user's language.

import { locale } from "../locale";

export interface Formats {
  bytes(count: number): string;
  rate(bytesPerSecond: number): string;
  percent(fraction: number): string;
  number(value: number, digits?: number): string;
  /** A date with its time. */
  dateTime(rfc3339: string): string;
  /** A date with its time, or the time alone where that is today. */
  moment(rfc3339: string, now: Date): string;
  /** A day with its weekday, and with its year unless that is `now`'s. */
  day(date: Date, now: Date): string;
  /** A day in few letters. */
  shortDay(date: Date): string;
  month(date: Date): string;
  dimensions(width: number, height: number): string;
  /** A length of time in its largest unit, rounded so that it does not flicker. */
  duration(seconds: number): string;
}

/** Between a number and its unit, which stay on one line. */
const NO_BREAK = "\u00a0";

const STEPS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** The formats of a language, in a time zone or in the user's own. */
export function formatsOf(tag: string, timeZone?: string): Formats {
  const percent = new Intl.NumberFormat(tag, { style: "percent", maximumFractionDigits: 0 });
  const zone = timeZone === undefined ? {} : { timeZone };
  const dateTime = new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short", ...zone });
  const time = new Intl.DateTimeFormat(tag, { timeStyle: "short", ...zone });
  const date = new Intl.DateTimeFormat(tag, { year: "numeric", month: "numeric", day: "numeric", ...zone });
  const dayOfYear = new Intl.DateTimeFormat(tag, {
    weekday: "long",
    day: "numeric",
    month: "long",
    ...zone,
  });
  const dayOfAnyYear = new Intl.DateTimeFormat(tag, {
    weekday: "short",
    day: "numeric",
    month: "long",
    year: "numeric",
    ...zone,
  });
  const shortDay = new Intl.DateTimeFormat(tag, { dateStyle: "medium", ...zone });
  const year = new Intl.DateTimeFormat(tag, { year: "numeric", ...zone });
  const month = new Intl.DateTimeFormat(tag, { month: "long", year: "numeric", ...zone });
  const inUnit = (value: number, unit: string, digits: number) =>
    new Intl.NumberFormat(tag, {
      style: "unit",
      unit,
      // Its short form is a word that has no plural.
      unitDisplay: unit === "byte" ? "long" : "short",
      maximumFractionDigits: digits,
    })
      .format(value)
      .replaceAll(" ", NO_BREAK);

  function scaled(count: number): { value: number; step: (typeof STEPS)[number] } {
    let value = Math.max(0, count);
    let index = 0;
    // 999.95 would be shown as 1,000.
    while (value >= 999.5 && index < STEPS.length - 1) {
      value /= 1000;
      index += 1;
    }
    return { value, step: STEPS[index]! };
  }

  const digitsOf = (value: number, step: string) => (step === "byte" || value >= 10 ? 0 : 1);

  return {
    bytes(count) {
      const { value, step } = scaled(count);
      return inUnit(value, step, digitsOf(value, step));
    },
    rate(bytesPerSecond) {
      const { value, step } = scaled(bytesPerSecond);
      return inUnit(value, `${step}-per-second`, digitsOf(value, step));
    },
    number: (value, digits = 0) =>
      new Intl.NumberFormat(tag, { maximumFractionDigits: digits }).format(value),
    moment(rfc3339, now) {
      const told = new Date(rfc3339);
      if (Number.isNaN(told.getTime())) return rfc3339;
      return date.format(told) === date.format(now) ? time.format(told) : dateTime.format(told);
    },
    day: (told, now) => (year.format(told) === year.format(now) ? dayOfYear : dayOfAnyYear).format(told),
    shortDay: (told) => shortDay.format(told),
    month: (told) => month.format(told),
    percent: (fraction) => percent.format(Math.max(0, fraction)),
    dateTime(rfc3339) {
      const told = new Date(rfc3339);
      return Number.isNaN(told.getTime()) ? rfc3339 : dateTime.format(told);
    },
    dimensions: (width, height) => `${width}${NO_BREAK}×${NO_BREAK}${height}`,
    duration(seconds) {
      if (seconds < 60) return inUnit(Math.max(5, Math.ceil(seconds / 5) * 5), "second", 0);
      if (seconds < 3600) return inUnit(Math.ceil(seconds / 60), "minute", 0);
      return inUnit(seconds / 3600, "hour", 1);
    },
  };
}

export const formats = formatsOf(locale.tag);

/** A name as a part of a sentence: its own direction of writing does not turn the words around it. */
export const isolated = (name: string): string => `\u2068${name}\u2069`;

/** What people call a picture that moves: a GIF, if it is one, and an animated PNG by its own name. */
export function motionName(contentType: string): string {
  const kind = contentType.replace(/^image\//, "");
  return { png: "APNG", webp: "WebP" }[kind] ?? kind.toUpperCase();
}
