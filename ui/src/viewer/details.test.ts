import { expect, it } from "vitest";

import { anImage, aPicture } from "../ipc/testing";
import { formatsOf } from "../kit/format";
import { CATALOGUE } from "../strings";
import { grammarOf } from "../words/grammar";
import { detailsOf, exposureText, mapLink, placeText } from "./details";

const english = CATALOGUE.en(grammarOf("en-GB"));
const formats = formatsOf("en-GB", "UTC");
const german = CATALOGUE.de(grammarOf("de"));
const nothing = { seconds: null, f_number: null, iso: null, focal_length_mm: null };

it("only what is known is told", () => {
  const bare = detailsOf(aPicture(1), english, formats);
  expect(bare.map(({ id }) => id)).toEqual(["name", "dimensions", "size", "type", "published", "owner"]);
  const image = anImage("a", {
    width: 6000,
    height: 4000,
    taken_at: "2026-05-04T12:30:00Z",
    camera: "FUJIFILM X-T5",
    lens: "XF23mmF2",
    exposure: { seconds: 1 / 250, f_number: 2.8, iso: 200, focal_length_mm: 23 },
  });
  const full = detailsOf(aPicture(1, { image, kept: true }), english, formats);
  expect(Object.fromEntries(full.map(({ id, value }) => [id, value]))).toMatchObject({
    dimensions: "6000\u00a0×\u00a04000 (24 MP)",
    taken: "4 May 2026, 12:30",
    lens: "XF23mmF2",
    exposure: "1/250 s · f/2.8 · ISO 200 · 23 mm",
    kept: "Original on its way",
  });
});

it.each([
  [{ ...nothing }, null],
  [{ ...nothing, seconds: 0.5 }, "0.5 s"],
  [{ ...nothing, seconds: 30 }, "30 s"],
  [{ ...nothing, seconds: 0.000125, iso: 12800 }, "1/8,000 s · ISO 12800"],
  [{ ...nothing, f_number: 1.8, focal_length_mm: 4.25 }, "f/1.8 · 4.3 mm"],
])("%j is %s", (exposure, told) => {
  expect(exposureText(exposure, english, formats)).toBe(told);
});

it("numbers are those of the language, and a link's are those of the map", () => {
  const place = { latitude: 54.3233, longitude: -10.1 };
  expect(placeText(place, formatsOf("de", "UTC"))).toBe("54,3233; -10,1");
  expect(mapLink(place)).toBe(
    "https://www.openstreetmap.org/?mlat=54.32330&mlon=-10.10000#map=15/54.32330/-10.10000",
  );
  expect(exposureText({ ...nothing, f_number: 2.8 }, german, formatsOf("de", "UTC"))).toBe("f/2,8");
});
