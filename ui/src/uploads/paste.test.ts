import { expect, it } from "vitest";

import { isWithoutText, named } from "./paste";

it("a pasted picture without a name gets one of the moment", () => {
  const at = new Date(2026, 10, 26, 7, 5, 9);
  const pasted = (name: string, index: number) =>
    named(new File(["x"], name, { type: "image/png" }), index, at);
  expect(pasted("image.png", 0).name).toBe("Pasted 2026-11-26 07-05-09.png");
  expect(pasted("image.jpeg", 1).name).toBe("Pasted 2026-11-26 07-05-09 (2).jpeg");
  expect(pasted("holiday.png", 0).name).toBe("holiday.png");
  expect(pasted("image.png", 0).type).toBe("image/png");
});

it("a field takes text, and whatever comes with text", () => {
  const pasted = (data: Record<string, string>) =>
    isWithoutText({ getData: (type: string) => data[type] ?? "" } as unknown as DataTransfer);
  expect(pasted({})).toBe(true);
  expect(pasted({ "text/plain": "words" })).toBe(false);
  expect(pasted({ "text/html": "<b>words</b>" })).toBe(false);
});
