import { describe, expect, it } from "vitest";

import { formatsOf, motionName } from "./format";

const english = formatsOf("en-GB", "UTC");
const german = formatsOf("de-DE", "UTC");

describe("sizes", () => {
  it("step by thousands, keep one digit only where it tells something, and stay on one line", () => {
    expect(english.bytes(0)).toBe("0\u00a0bytes");
    expect(english.bytes(999)).toBe("999\u00a0bytes");
    expect(english.bytes(1500)).toBe("1.5\u00a0kB");
    expect(english.bytes(999_600)).toBe("1\u00a0MB");
    expect(english.bytes(48_211_000)).toBe("48\u00a0MB");
    expect(english.bytes(2_400_000_000)).toBe("2.4\u00a0GB");
  });

  it("follow the language", () => {
    expect(german.bytes(1500)).toBe("1,5\u00a0kB");
    expect(german.rate(2_400_000)).toBe("2,4\u00a0MB/s");
  });
});

it("percentages are whole and never negative", () => {
  expect(english.percent(-1)).toBe("0%");
  expect(english.percent(0.429)).toBe("43%");
  expect(english.percent(2)).toBe("200%");
});

it("dates are in the user's language, and what is none is shown as it is", () => {
  expect(english.dateTime("2026-05-04T12:30:00Z")).toBe("4 May 2026, 12:30");
  expect(german.dateTime("2026-05-04T12:30:00Z")).toBe("04.05.2026, 12:30");
  expect(english.dateTime("once")).toBe("once");
});

it("a moment of today is told by its time alone, and a day of this year without the year", () => {
  const now = new Date("2026-05-04T20:00:00Z");
  expect(english.moment("2026-05-04T12:30:00Z", now)).toBe("12:30");
  expect(english.moment("2026-05-03T12:30:00Z", now)).toBe("3 May 2026, 12:30");
  expect(english.moment("once", now)).toBe("once");
  expect(german.day(new Date("2026-05-01T12:00:00Z"), now)).toBe("Freitag, 1. Mai");
  expect(english.day(new Date("2024-12-31T12:00:00Z"), now)).toBe("Tue, 31 December 2024");
  expect(german.month(new Date("2024-12-31T12:00:00Z"))).toBe("Dezember 2024");
});

it("time left is told in steps", () => {
  expect(english.duration(0.2)).toBe("5\u00a0secs");
  expect(english.duration(41)).toBe("45\u00a0secs");
  expect(english.duration(61)).toBe("2\u00a0mins");
  expect(english.duration(5400)).toBe("1.5\u00a0hrs");
});

it("pictures that move are called what people call them", () => {
  expect(["image/gif", "image/png", "image/webp", "image/avif"].map(motionName)).toEqual([
    "GIF",
    "APNG",
    "WebP",
    "AVIF",
  ]);
});
