//! Makes `:focus-visible` mean the same in every engine: also what has the focus while keys are used, which `kit/modality.ts`
//! marks the root with. The build does it with all style sheets, so that components say what they mean in one word.
//!
//! Invariant: no selector weighs more or less than before.

/** Of the root's `data-by-keys`; `:where` weighs nothing. */
const BY_KEYS = ":is(:focus-visible, :where(:root[data-by-keys]) :focus)";

export const withKeys = (selector: string): string => selector.replaceAll(":focus-visible", BY_KEYS);

interface Rule {
  selector: string;
}

/** For PostCSS. */
export const focusByKeys = {
  postcssPlugin: "imgn-focus-by-keys",
  // Once, and not for each rule: a rule that was changed would be told of again.
  Once(root: { walkRules(act: (rule: Rule) => void): void }) {
    root.walkRules((rule) => {
      if (rule.selector.includes(":focus-visible")) rule.selector = withKeys(rule.selector);
    });
  },
};
