//! Landscapes that nobody photographed: the same number is always the same picture.
//!
//! Invariant: a picture is made when somebody asks for it, and its columns cost no more than a few numbers, so that a
//! million of them are there at once.

import { rgbaToThumbHash } from "thumbhash";

import type { PictureSize } from "./backend";
import type { Image } from "./types";

const SHAPES = [
  [6000, 4000],
  [4032, 3024],
  [3024, 4032],
  [1920, 1080],
  [4000, 6000],
  [2048, 2048],
  [5472, 3648],
  [9000, 2600],
  [1080, 1920],
] as const;
const PLACES = ["Harbour", "Dunes", "Ridge", "Lake", "Moor", "Fjord", "Forest edge", "Plain", "Coast"];
const TIMES = ["at dawn", "before the storm", "in May", "from the train", "at dusk", "in fog", ""];
const CAMERAS = ["Canon EOS R6", "FUJIFILM X-T5", "Apple iPhone 15", "NIKON Z 6_2", null];

function numbers(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Scene {
  top: [number, number, number];
  bottom: [number, number, number];
  land: [number, number, number];
  sun: { x: number; y: number; r: number };
  next: () => number;
}

function sceneOf(index: number): Scene {
  const next = numbers(index + 1);
  const warm = next();
  const hue = warm < 0.45 ? 200 + next() * 40 : warm < 0.8 ? 15 + next() * 35 : 260 + next() * 60;
  const light = 25 + next() * 60;
  return {
    top: [hue, 25 + next() * 45, light],
    bottom: [
      hue + (warm < 0.45 ? -10 : 25) - next() * 20,
      30 + next() * 50,
      Math.min(93, light + 12 + next() * 18),
    ],
    land: [next() < 0.5 ? 90 + next() * 60 : hue + 180 * next(), 12 + next() * 28, 14 + next() * 26],
    sun: { x: 0.15 + next() * 0.7, y: 0.2 + next() * 0.4, r: 0.03 + next() * 0.07 },
    next,
  };
}

const css = ([h, s, l]: [number, number, number], shift = 0) =>
  `hsl(${Math.round(h)} ${Math.round(s)}% ${Math.round(Math.min(96, Math.max(3, l + shift)))}%)`;

/** Whole numbers that look like chance: cheap enough for a million at once. */
function hash(index: number, salt: number): number {
  let mixed = Math.imul(index + 1, 2654435761) ^ Math.imul(salt + 1, 40503);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 2246822519);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 3266489917);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

const shapeOf = (index: number) => SHAPES[Math.floor((hash(index, 1) / 2 ** 32) ** 1.4 * SHAPES.length)]!;

/** Width over height, as the timeline has it. */
export function madeUpRatio(index: number): number {
  const [width, height] = shapeOf(index);
  return Math.min(65_535, Math.max(1, Math.round((width / height) * 2048)));
}

export function madeUpName(index: number): string {
  const number = hash(index, 2);
  if (number % 5 < 2) return `IMG_${4000 + index}.jpg`;
  return `${`${PLACES[number % PLACES.length]!} ${TIMES[(number >>> 8) % TIMES.length]!}`.trim()}.jpg`;
}

export function madeUpCamera(index: number): string | null {
  return CAMERAS[hash(index, 3) % CAMERAS.length]!;
}

/** Seconds between a picture and the next older one: series of a few minutes, evenings without any, long weeks off. */
export function madeUpPause(index: number): number {
  const number = hash(index, 4);
  if (number % 997 === 0) return 86_400 * (1 + ((number >>> 8) % 21));
  if (number % 41 === 0) return 3600 * (4 + ((number >>> 8) % 20));
  return 5 + ((number >>> 8) % 600);
}

/** Which made-up picture an id belongs to. */
export const indexOfId = (id: string): number => Number.parseInt(id.slice(-12), 16);

const idOf = (index: number) => `0190f1d0-0000-7000-8000-${index.toString(16).padStart(12, "0")}`;

export function madeUpImage(index: number, published = Date.UTC(2026, 4, 4, 12, 30) / 1000): Image {
  const [width, height] = shapeOf(index);
  const number = hash(index, 5);
  const camera = madeUpCamera(index);
  const moves = index % 17 === 5;
  const taken = camera === null ? null : published - (number % 400) * 3600;
  return {
    id: idOf(index),
    file_name: madeUpName(index),
    width,
    height,
    content_type: moves ? "image/gif" : "image/jpeg",
    size: Math.round(width * height * (0.2 + (number % 400) / 1000)),
    sha256: (number * 2 ** 20).toString(16).padStart(64, "0c4a9"),
    thumbhash: thumbhashOf(index, width / height),
    animated: moves,
    taken_at: taken === null ? null : new Date(taken * 1000).toISOString(),
    created_at: new Date(published * 1000).toISOString(),
    camera,
    lens: camera === null ? null : "24-70mm F2.8",
    exposure:
      camera === null
        ? null
        : { seconds: 1 / (60 + (number % 400)), f_number: 2.8, iso: 200, focal_length_mm: 35 },
    location: number % 4 === 0 ? { latitude: 54.3 + (number % 100) / 50, longitude: 10.1 } : null,
    owner: "design",
    url: `https://gallery.example.org/v1/images/${idOf(index)}/content`,
    display_url: null,
  };
}

export function madeUpPicture(image: Image, size: PictureSize): string {
  const scale = size === "original" ? 1 : Math.min(1, size / Math.max(image.width, image.height));
  const width = Math.round(image.width * scale);
  const height = Math.round(image.height * scale);
  return `data:image/svg+xml,${encodeURIComponent(draw(indexOfId(image.id), width, height))}`;
}

function draw(index: number, width: number, height: number): string {
  const { top, bottom, land, sun, next } = sceneOf(index);
  const ratio = width / height;
  const w = 100 * ratio;
  const ridges = [0, 1, 2, 3].map((layer) => {
    const base = 48 + layer * 14 + next() * 6;
    const rough = 14 - layer * 2.5;
    let y = base;
    const points = [`0,100 0,${y.toFixed(1)}`];
    for (let x = 0; x <= w + 6; x += 4 + next() * 7) {
      y += (next() - 0.5) * rough + (base - y) * 0.25;
      points.push(`${x.toFixed(1)},${y.toFixed(1)}`);
    }
    points.push(`${(w + 6).toFixed(1)},100`);
    return `<polygon points="${points.join(" ")}" fill="${css(land, 26 - layer * 12)}"/>`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${w} 100">` +
    `<defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="${css(top)}"/><stop offset=".8" stop-color="${css(bottom)}"/></linearGradient>` +
    `<radialGradient id="g"><stop stop-color="${css(bottom, 24)}"/><stop offset=".25" stop-color="${css(bottom, 18)}" stop-opacity=".8"/><stop offset="1" stop-color="${css(bottom, 10)}" stop-opacity="0"/></radialGradient></defs>` +
    `<rect width="${w}" height="100" fill="url(#s)"/>` +
    `<circle cx="${sun.x * w}" cy="${sun.y * 100}" r="${sun.r * 500}" fill="url(#g)"/>` +
    `<circle cx="${sun.x * w}" cy="${sun.y * 100}" r="${sun.r * 90}" fill="${css(bottom, 28)}"/>` +
    `${ridges.join("")}</svg>`
  );
}

const HASHES = new Map<string, string>();
/** Of what scrolled by, so that a million pictures do not fill the memory. */
const MOST_HASHES = 2000;

function thumbhashOf(index: number, ratio: number): string {
  const key = `${index} ${ratio}`;
  const known = HASHES.get(key);
  if (known !== undefined) return known;
  const { top, bottom, land } = sceneOf(index);
  const width = ratio >= 1 ? 16 : Math.max(4, Math.round(16 * ratio));
  const height = ratio >= 1 ? Math.max(4, Math.round(16 / ratio)) : 16;
  const rgba = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y += 1) {
    const down = y / height;
    const colour =
      down < 0.55 ? mix(top, bottom, down / 0.55) : mix(bottom, land, Math.min(1, (down - 0.5) * 3));
    const [r, g, b] = toRgb(colour);
    for (let x = 0; x < width; x += 1) rgba.set([r, g, b, 255], (y * width + x) * 4);
  }
  const made = btoa(String.fromCharCode(...rgbaToThumbHash(width, height, rgba)));
  if (HASHES.size >= MOST_HASHES) HASHES.clear();
  HASHES.set(key, made);
  return made;
}

type Hsl = [number, number, number];

const mix = (a: Hsl, b: Hsl, t: number): Hsl =>
  a.map((value, index) => value + (b[index]! - value) * t) as Hsl;

function toRgb([h, s, l]: Hsl): [number, number, number] {
  const at = (n: number) => {
    const k = (n + h / 30 + 24) % 12;
    const a = (s / 100) * Math.min(l / 100, 1 - l / 100);
    return Math.round(255 * (l / 100 - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [at(0), at(8), at(4)];
}
