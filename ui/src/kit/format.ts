//! Numbers, sizes, rates and dates in the user's language.

export interface Formats {
  bytes(count: number): string;
  rate(bytesPerSecond: number): string;
  percent(fraction: number): string;
  /** A date with its time. */
  dateTime(rfc3339: string): string;
  dimensions(width: number, height: number): string;
  /** A length of time in its largest unit, rounded so that it does not flicker. */
  duration(seconds: number): string;
}

const STEPS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** The formats of `locale`, or of the user's own. */
export function formatsOf(locale?: string, timeZone?: string): Formats {
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
  const dateTime = new Intl.DateTimeFormat(locale, {
    dateStyle: "medium",
    timeStyle: "short",
    ...(timeZone === undefined ? {} : { timeZone }),
  });
  const inUnit = (value: number, unit: string, digits: number) =>
    new Intl.NumberFormat(locale, {
      style: "unit",
      unit,
      unitDisplay: "short",
      maximumFractionDigits: digits,
    }).format(value);

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
    percent: (fraction) => percent.format(Math.max(0, fraction)),
    dateTime(rfc3339) {
      const date = new Date(rfc3339);
      return Number.isNaN(date.getTime()) ? rfc3339 : dateTime.format(date);
    },
    dimensions: (width, height) => `${width} × ${height}`,
    duration(seconds) {
      if (seconds < 60) return inUnit(Math.max(5, Math.ceil(seconds / 5) * 5), "second", 0);
      if (seconds < 3600) return inUnit(Math.ceil(seconds / 60), "minute", 0);
      return inUnit(seconds / 3600, "hour", 1);
    },
  };
}

export const formats = formatsOf();

/** What people call a picture that moves: a GIF, if it is one, and an animated PNG by its own name. */
export function motionName(contentType: string): string {
  const kind = contentType.replace(/^image\//, "");
  return { png: "APNG", webp: "WebP" }[kind] ?? kind.toUpperCase();
}
