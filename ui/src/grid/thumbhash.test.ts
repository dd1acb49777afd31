import { describe, expect, it } from "vitest";
import { rgbaToThumbHash, thumbHashToRGBA } from "thumbhash";

import { decodeThumbhash } from "./thumbhash";

function hashOf(width: number, height: number, paint: (x: number, y: number) => number[]): Uint8Array {
  const rgba = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rgba.set(paint(x / width, y / height), (y * width + x) * 4);
  }
  return rgbaToThumbHash(width, height, rgba);
}

const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));

const pictures = {
  landscape: hashOf(60, 40, (x, y) => [255 * x, 120, 255 * y, 255]),
  portrait: hashOf(30, 70, (x, y) => [200 - 150 * y, 255 * x * y, 60, 255]),
  square: hashOf(50, 50, (x, y) => [(x * 7) % 1 > 0.5 ? 240 : 20, 90, 255 * y, 255]),
  transparent: hashOf(64, 48, (x, y) => [30, 200, 90, 255 * x * (1 - y)]),
};

describe.each(Object.entries(pictures))("a %s picture", (_, hash) => {
  it("looks as the format's own decoder shows it, at half the size", () => {
    const reference = thumbHashToRGBA(hash);
    const preview = decodeThumbhash(base64(hash))!;
    expect(Math.max(preview.width, preview.height)).toBe(16);
    expect(preview.width / preview.height).toBeCloseTo(reference.w / reference.h, 0);

    let most = 0;
    for (let y = 0; y < preview.height; y += 1) {
      for (let x = 0; x < preview.width; x += 1) {
        // The reference's pixel at the same place; its sides are not always exactly twice as long.
        const rx = Math.min(reference.w - 1, Math.floor(((x + 0.5) / preview.width) * reference.w));
        const ry = Math.min(reference.h - 1, Math.floor(((y + 0.5) / preview.height) * reference.h));
        for (let part = 0; part < 4; part += 1) {
          const ours = preview.rgba[(y * preview.width + x) * 4 + part]!;
          most = Math.max(most, Math.abs(ours - reference.rgba[(ry * reference.w + rx) * 4 + part]!));
        }
      }
    }
    expect(most).toBeLessThan(32);
  });

  it("keeps its average colour", () => {
    const reference = thumbHashToRGBA(hash);
    const preview = decodeThumbhash(base64(hash))!;
    for (let part = 0; part < 4; part += 1) {
      expect(Math.abs(average(preview.rgba, part) - average(reference.rgba, part))).toBeLessThan(2.5);
    }
  });
});

function average(rgba: ArrayLike<number>, part: number): number {
  let sum = 0;
  for (let index = part; index < rgba.length; index += 4) sum += rgba[index]!;
  return sum / (rgba.length / 4);
}

it.each(["", "???", "AA==", "AAAAAAAAAAAA"])("%j is none", (text) =>
  expect(decodeThumbhash(text)).toBeNull(),
);
