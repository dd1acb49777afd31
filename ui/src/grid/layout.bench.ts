//! How long a layout of many pictures takes: `npx vitest bench`.

import { bench, describe } from "vitest";

import { FakeGallery } from "../ipc/fake-gallery";
import { sectionsOf } from "./days";
import { layOut, visibleRows } from "./layout";

describe.each([100_000, 1_000_000])("%d pictures", (count) => {
  const { created, ratios } = new FakeGallery(count).timeline("");
  const sections = sectionsOf(created);
  const options = { width: 1280, rowHeight: 190, gap: 4, heading: 48 };
  const layout = layOut(ratios, sections, options);

  bench("days", () => void sectionsOf(created));
  bench("rows", () => void layOut(ratios, sections, options));
  bench("a thousand looks at what is in sight", () => {
    for (let look = 0; look < 1000; look += 1) {
      const top = (layout.height * look) / 1000;
      visibleRows(layout, top, top + 900);
    }
  });
});
