//! The blurred preview that every picture carries in its own description, painted before anything is fetched.
//!
//! The format is that of <https://evanw.github.io/thumbhash/>. Its own decoder takes milliseconds for a picture, which
//! a grid that is scrolled quickly does not have; this one makes half the resolution from tables of cosines.
//! It paints on a canvas and makes no `data:` address, so that the page's policy can forbid those.

/** Of the preview's longer side, in pixels; more would show no more. */
const LONG_SIDE = 16;

export interface Preview {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
}

/** Paints the preview of a Base64 thumbhash; paints nothing when it is none. */
export function paintThumbhash(canvas: HTMLCanvasElement, base64: string): void {
  const preview = decodeThumbhash(base64);
  // Setting the size clears the canvas.
  canvas.width = preview?.width ?? 1;
  canvas.height = preview?.height ?? 1;
  if (preview === null) return;
  canvas.getContext("2d")?.putImageData(new ImageData(preview.rgba, preview.width, preview.height), 0, 0);
}

/** The preview, or null when the text is no thumbhash. */
export function decodeThumbhash(base64: string): Preview | null {
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
  if (bytes.length < 6) return null;

  const head = bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16);
  const more = bytes[3]! | (bytes[4]! << 8);
  const hasAlpha = head >> 23 !== 0;
  const landscape = more >> 15 !== 0;
  const most = hasAlpha ? 5 : 7;
  // How many waves each way; their ratio is about that of the picture.
  const across = landscape ? most : more & 7;
  const down = landscape ? more & 7 : most;
  if (across === 0 || down === 0) return null;

  let nibble = hasAlpha ? 12 : 10;
  const channel = (base: number, nx: number, ny: number, scale: number): Channel => {
    const waves: Wave[] = [];
    for (let y = 0; y < ny; y += 1) {
      for (let x = y === 0 ? 1 : 0; x * ny < nx * (ny - y); x += 1) {
        const value = (bytes[nibble >> 1] ?? 0) >> ((nibble & 1) * 4);
        nibble += 1;
        waves.push({ x, y, strength: ((value & 15) / 7.5 - 1) * scale * 2 });
      }
    }
    return { base, waves };
  };
  const light = channel((head & 63) / 63, Math.max(3, across), Math.max(3, down), ((head >> 18) & 31) / 31);
  // Blended colours were strengthened by a quarter when they were stored.
  const yellowBlue = channel(((head >> 6) & 63) / 31.5 - 1, 3, 3, (((more >> 3) & 63) / 63) * 1.25);
  const redGreen = channel(((head >> 12) & 63) / 31.5 - 1, 3, 3, (((more >> 9) & 63) / 63) * 1.25);
  const alpha = hasAlpha
    ? channel((bytes[5]! & 15) / 15, 5, 5, (bytes[5]! >> 4) / 15)
    : { base: 1, waves: [] };

  const ratio = across / down;
  const width = Math.max(1, Math.round(ratio > 1 ? LONG_SIDE : LONG_SIDE * ratio));
  const height = Math.max(1, Math.round(ratio > 1 ? LONG_SIDE / ratio : LONG_SIDE));
  const [l, p, q, a] = [light, yellowBlue, redGreen, alpha].map((one) => sumWaves(one, width, height));
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let index = 0; index < width * height; index += 1) {
    const blue = l![index]! - (2 / 3) * p![index]!;
    const red = (3 * l![index]! - blue + q![index]!) / 2;
    rgba[index * 4] = red * 255;
    rgba[index * 4 + 1] = (red - q![index]!) * 255;
    rgba[index * 4 + 2] = blue * 255;
    rgba[index * 4 + 3] = a![index]! * 255;
  }
  return { width, height, rgba };
}

interface Wave {
  readonly x: number;
  readonly y: number;
  readonly strength: number;
}

interface Channel {
  readonly base: number;
  readonly waves: readonly Wave[];
}

function sumWaves({ base, waves }: Channel, width: number, height: number): Float32Array {
  const values = new Float32Array(width * height).fill(base);
  for (const { x, y, strength } of waves) {
    if (strength === 0) continue;
    const along = cosines(x, width);
    const downwards = cosines(y, height);
    for (let row = 0, index = 0; row < height; row += 1) {
      const factor = strength * downwards[row]!;
      for (let column = 0; column < width; column += 1, index += 1) values[index]! += factor * along[column]!;
    }
  }
  return values;
}

const COSINES = new Map<number, Float32Array>();

/** A cosine of `waves` half turns over `length` pixels. */
function cosines(waves: number, length: number): Float32Array {
  const key = waves * (LONG_SIDE + 1) + length;
  let table = COSINES.get(key);
  if (table === undefined) {
    table = Float32Array.from({ length }, (_, pixel) => Math.cos((Math.PI / length) * (pixel + 0.5) * waves));
    COSINES.set(key, table);
  }
  return table;
}
