import { expect, it } from "vitest";

import { appendPage, matches, prependArrivals, withoutIds } from "./pages";
import { anImage } from "../ipc/testing";

const ids = (images: readonly { id: string }[]) => images.map((image) => image.id).join("");

it("pages follow each other, and what arrived in between is not shown twice", () => {
  const first = appendPage([], [anImage("c"), anImage("b")]);
  expect(ids(appendPage(first, [anImage("b"), anImage("a"), anImage("a")]))).toBe("cba");
});

it("arrivals stand in front, newest first", () => {
  const known = [anImage("b")];
  const arrived = prependArrivals(known, [
    anImage("c", { created_at: "2026-01-02T00:00:00Z" }),
    anImage("e", { created_at: "2026-01-03T00:00:00.5Z" }),
    anImage("d", { created_at: "2026-01-03T00:00:00Z" }),
    anImage("b"),
  ]);
  expect(ids(arrived)).toBe("edcb");
});

it("a change that changes nothing keeps the very list, so that nothing is laid out again", () => {
  const known = [anImage("a")];
  expect(appendPage(known, [anImage("a")])).toBe(known);
  expect(prependArrivals(known, [anImage("a")])).toBe(known);
  expect(withoutIds(known, ["x"])).toBe(known);
  expect(ids(withoutIds([anImage("a"), anImage("b")], ["a"]))).toBe("b");
});

it("a search ignores case and the space around it", () => {
  const image = anImage("a", { file_name: "Ärger im Hafen.JPG" });
  expect(matches(image, " ärger ")).toBe(true);
  expect(matches(image, "boot")).toBe(false);
  expect(matches(image, "")).toBe(true);
});
