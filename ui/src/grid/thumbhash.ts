//! The blurred preview that every picture carries in its own description, painted before anything is fetched.
//!
//! The format is that of <https://evanw.github.io/thumbhash/>. Its own decoder takes milliseconds for a picture, which
//! a grid that is scrolled quickly does not have; this one makes half the resolution from tables of cosines.
//! It paints on a canvas and makes no `data:` address, so that the page's policy can forbid those.
//!
//! Invariant: it works in the same few buffers each time. What a preview needs and is thrown away, a web view lets lie for
//! long: 8 KB each were 100 MB while a gallery was scrolled through.

/** Of the preview's longer side, in pixels; more would show no more. */
const LONG_SIDE = 16;

export interface Preview {
  readonly width: number;
  readonly height: number;
  /** Overwritten by the next preview. */
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
  let bytes: string;
  try {
    bytes = atob(base64);
  } catch {
    return null;
  }
  if (bytes.length < 6) return null;
  const byte = (at: number) => (at < bytes.length ? bytes.charCodeAt(at) : 0);

  const head = byte(0) | (byte(1) << 8) | (byte(2) << 16);
  const more = byte(3) | (byte(4) << 8);
  const hasAlpha = head >> 23 !== 0;
  const landscape = more >> 15 !== 0;
  const most = hasAlpha ? 5 : 7;
  // How many waves each way; their ratio is about that of the picture.
  const across = landscape ? most : more & 7;
  const down = landscape ? more & 7 : most;
  if (across === 0 || down === 0) return null;
  const ratio = across / down;
  const width = Math.max(1, Math.round(ratio > 1 ? LONG_SIDE : LONG_SIDE * ratio));
  const height = Math.max(1, Math.round(ratio > 1 ? LONG_SIDE / ratio : LONG_SIDE));
  const count = width * height;

  let nibble = hasAlpha ? 12 : 10;
  /** Adds up the waves of one channel, whose strengths are the next numbers of the hash. */
  const sum = (into: Float32Array, base: number, nx: number, ny: number, scale: number) => {
    into.fill(base, 0, count);
    for (let y = 0; y < ny; y += 1) {
      for (let x = y === 0 ? 1 : 0; x * ny < nx * (ny - y); x += 1) {
        const value = byte(nibble >> 1) >> ((nibble & 1) * 4);
        nibble += 1;
        addWave(into, x, y, ((value & 15) / 7.5 - 1) * scale * 2, width, height);
      }
    }
  };
  const { light, yellowBlue, redGreen, alpha } = CHANNELS;
  sum(light, (head & 63) / 63, Math.max(3, across), Math.max(3, down), ((head >> 18) & 31) / 31);
  // Blended colours were strengthened by a quarter when they were stored.
  sum(yellowBlue, ((head >> 6) & 63) / 31.5 - 1, 3, 3, (((more >> 3) & 63) / 63) * 1.25);
  sum(redGreen, ((head >> 12) & 63) / 31.5 - 1, 3, 3, (((more >> 9) & 63) / 63) * 1.25);
  if (hasAlpha) sum(alpha, (byte(5) & 15) / 15, 5, 5, (byte(5) >> 4) / 15);
  else alpha.fill(1, 0, count);

  const rgba = pixels(count);
  for (let index = 0; index < count; index += 1) {
    const blue = light[index]! - (2 / 3) * yellowBlue[index]!;
    const red = (3 * light[index]! - blue + redGreen[index]!) / 2;
    rgba[index * 4] = red * 255;
    rgba[index * 4 + 1] = (red - redGreen[index]!) * 255;
    rgba[index * 4 + 2] = blue * 255;
    rgba[index * 4 + 3] = alpha[index]! * 255;
  }
  return { width, height, rgba };
}

const MOST_PIXELS = LONG_SIDE * LONG_SIDE;

const CHANNELS = {
  light: new Float32Array(MOST_PIXELS),
  yellowBlue: new Float32Array(MOST_PIXELS),
  redGreen: new Float32Array(MOST_PIXELS),
  alpha: new Float32Array(MOST_PIXELS),
};

/** By their count; a preview has one of a handful of shapes. */
const PIXELS = new Map<number, Uint8ClampedArray<ArrayBuffer>>();

function pixels(count: number): Uint8ClampedArray<ArrayBuffer> {
  let found = PIXELS.get(count);
  if (found === undefined) {
    found = new Uint8ClampedArray(count * 4);
    PIXELS.set(count, found);
  }
  return found;
}

function addWave(
  into: Float32Array,
  x: number,
  y: number,
  strength: number,
  width: number,
  height: number,
): void {
  if (strength === 0) return;
  const along = cosines(x, width);
  const downwards = cosines(y, height);
  for (let row = 0, index = 0; row < height; row += 1) {
    const factor = strength * downwards[row]!;
    for (let column = 0; column < width; column += 1, index += 1) into[index]! += factor * along[column]!;
  }
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
