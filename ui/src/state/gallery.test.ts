import { expect, it } from "vitest";

import type { Backend } from "../ipc/backend";
import type { ImagePage } from "../ipc/types";
import { Gallery } from "./gallery.svelte";
import { anImage } from "../ipc/testing";

it("what changes while the first page is on its way is neither lost nor brought back", async () => {
  let answer: (page: ImagePage) => void = () => undefined;
  const page = new Promise<ImagePage>((resolve) => (answer = resolve));
  const gallery = new Gallery({ images: () => page } as unknown as Backend);
  const loaded = gallery.reload();
  gallery.apply({ added: [anImage("late")], removed: [] });
  gallery.apply({ added: [], removed: ["gone"] });
  answer({ images: [anImage("known"), anImage("gone")], next_cursor: null });
  await loaded;
  expect(gallery.images.map((image) => image.id)).toEqual(["late", "known"]);
});
