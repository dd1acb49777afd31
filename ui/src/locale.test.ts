import { expect, it } from "vitest";

import { chooseLocale } from "./locale";

it.each([
  [null, ["de-AT", "en"], "de", "de-AT"],
  [null, ["fr", "de"], "de", "de"],
  [null, ["fr"], "en", "en"],
  [null, [], "en", "en"],
  [null, ["en-GB", "de"], "en", "en-GB"],
  // What is asked for wins, in the region that the browser names for it.
  ["de", ["en-US", "de-CH"], "de", "de-CH"],
  ["de", ["en-US"], "de", "de"],
  ["xx", ["de"], "de", "de"],
  ["de-!!", [], "de", "de"],
])("%s of %j is %s, %s", (asked, preferred, language, tag) => {
  expect(chooseLocale(asked, preferred)).toEqual({ language, tag });
});
