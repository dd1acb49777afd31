import { expect, it } from "vitest";

import { anImage } from "../ipc/testing";
import { dragData } from "./drag-out";

it("one picture is a link, a text, an image and a file", () => {
  const data = dragData([anImage("a", { file_name: 'a "b": <c>.jpg', url: "https://x.example/a?b&c" })]);
  expect(Object.fromEntries(data)).toEqual({
    "text/uri-list": "https://x.example/a?b&c",
    "text/plain": "https://x.example/a?b&c",
    "text/html":
      '<img src="https://x.example/a?b&amp;c" alt="a &quot;b&quot;: &lt;c&gt;.jpg" width="600" height="400">',
    DownloadURL: 'image/jpeg:a "b"_ <c>.jpg:https://x.example/a?b&c',
  });
});

it("several are a list of links, which is no one file", () => {
  const data = dragData([anImage("a"), anImage("b")]);
  expect(data.get("text/uri-list")?.split("\r\n")).toHaveLength(2);
  expect(data.has("DownloadURL")).toBe(false);
});
