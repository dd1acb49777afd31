import { expect, it } from "vitest";

import { focusByKeys, withKeys } from "./by-keys";

it("what has the focus while keys are used is what `:focus-visible` means, in all of a selector", () => {
  expect(withKeys(".cell > .open:focus-visible::after")).toBe(
    ".cell > .open:is(:focus-visible, :where(:root[data-by-keys]) :focus)::after",
  );
  expect(withKeys(".a:focus-visible, .b:focus-visible").match(/data-by-keys/g)).toHaveLength(2);
});

it("leaves every other rule alone, and does each once", () => {
  const rules = [{ selector: ".a:hover" }, { selector: ":focus-visible" }];
  focusByKeys.Once({ walkRules: (act) => rules.forEach(act) });
  expect(rules[0]).toEqual({ selector: ".a:hover" });
  expect(rules[1]!.selector.match(/:focus-visible/g)).toHaveLength(1);
});
