import { expect, it } from "vitest";

import { pathOf, pictureOf, stepTo } from "./deep-link";

it.each([
  ["/", null],
  ["/i/", null],
  ["/i/0190f1d0-0000-7000-8000-000000000001", "0190f1d0-0000-7000-8000-000000000001"],
  ["/i/0190f1d0-0000-7000-8000-000000000001/", "0190f1d0-0000-7000-8000-000000000001"],
  ["/i/../v1/images", null],
  ["/i/a%2fb", null],
  ["/images/x", null],
])("%s names %s", (path, id) => {
  expect(pictureOf(path)).toBe(id);
  if (id !== null) expect(pictureOf(pathOf(id))).toBe(id);
});

it("one step back from an opened picture is the grid, however many were looked at", () => {
  expect(stepTo(null, "a", false)).toBe("push");
  expect(stepTo("a", "b", true)).toBe("replace");
  expect(stepTo("b", null, true)).toBe("back");
  // Who came by a link has nothing of this page behind them.
  expect(stepTo("a", null, false)).toBe("replace");
  expect(stepTo("a", "a", false)).toBeNull();
  expect(stepTo(null, null, false)).toBeNull();
});
