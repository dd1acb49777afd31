//! What is known of a picture, as names and values. What nobody knows is not in the list.

import type { Exposure, Location, Picture } from "../ipc/types";
import type { Formats } from "../kit/format";
import type { Strings } from "../strings";

export interface Detail {
  readonly id: string;
  readonly name: string;
  readonly value: string;
}

export function detailsOf(
  { image, kept, original_here }: Picture,
  texts: Strings,
  formats: Formats,
): Detail[] {
  const megapixels = (image.width * image.height) / 1_000_000;
  const dimensions = formats.dimensions(image.width, image.height);
  const details: [string, string, string | null][] = [
    ["name", texts.fileName, image.file_name],
    [
      "dimensions",
      texts.dimensions,
      megapixels < 0.1 ? dimensions : texts.megapixels(dimensions, formats.number(megapixels, 1)),
    ],
    ["size", texts.fileSize, formats.bytes(image.size)],
    ["type", texts.fileType, typeName(image.content_type)],
    ["taken", texts.taken, image.taken_at === null ? null : formats.dateTime(image.taken_at)],
    ["published", texts.published, formats.dateTime(image.created_at)],
    ["camera", texts.camera, image.camera],
    ["lens", texts.lens, image.lens ?? null],
    ["exposure", texts.exposure, image.exposure ? exposureText(image.exposure, texts, formats) : null],
    ["owner", texts.owner, image.owner],
    ["kept", texts.kept, kept ? (original_here ? texts.keptHere : texts.keptSoon) : null],
  ];
  return details.flatMap(([id, name, value]) =>
    value === null || value === "" ? [] : [{ id, name, value }],
  );
}

/** As people write it: "1/250 s · f/2.8 · ISO 200 · 35 mm". Null when nothing of it is known. */
export function exposureText(exposure: Exposure, texts: Strings, formats: Formats): string | null {
  const { seconds, f_number, iso, focal_length_mm } = exposure;
  const parts: string[] = [];
  if (seconds !== null && seconds > 0) {
    const time = seconds < 0.4 ? `1/${formats.number(Math.round(1 / seconds))}` : formats.number(seconds, 1);
    parts.push(texts.exposureTime(time));
  }
  if (f_number !== null) parts.push(texts.aperture(formats.number(f_number, 1)));
  if (iso !== null) parts.push(texts.iso(String(iso)));
  if (focal_length_mm !== null) parts.push(texts.focalLength(formats.number(focal_length_mm, 1)));
  return parts.length === 0 ? null : parts.join(" · ");
}

/** Five digits are about a metre. */
export const placeText = ({ latitude, longitude }: Location, formats: Formats): string =>
  `${formats.number(latitude, 5)}; ${formats.number(longitude, 5)}`;

/** A link to a map, for whoever it is given to; nothing here opens it. */
export function mapLink({ latitude, longitude }: Location): string {
  const [lat, lon] = [latitude.toFixed(5), longitude.toFixed(5)];
  return `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=15/${lat}/${lon}`;
}

function typeName(contentType: string): string {
  const kind = contentType.replace(/^image\/(x-)?/, "");
  return { webp: "WebP", jxl: "JPEG XL", "svg+xml": "SVG" }[kind] ?? kind.toUpperCase();
}
