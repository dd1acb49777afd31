//! What a picture is when it is dragged out of the window: a link, a text, a piece of a page, and a file to download.

import type { Image } from "../ipc/types";

/** The data by its type. */
export function dragData(images: readonly Image[]): Map<string, string> {
  const urls = images.map(({ url }) => url);
  const data = new Map([
    ["text/uri-list", urls.join("\r\n")],
    ["text/plain", urls.join("\n")],
    ["text/html", images.map(imageTag).join("\n")],
  ]);
  const [only] = images;
  if (only !== undefined && images.length === 1) {
    // Colons part the three; a name may have some.
    data.set("DownloadURL", `${only.content_type}:${only.file_name.replaceAll(":", "_")}:${only.url}`);
  }
  return data;
}

function imageTag({ url, file_name, width, height }: Image): string {
  return `<img src="${escaped(url)}" alt="${escaped(file_name)}" width="${width}" height="${height}">`;
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll('"', "&quot;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
