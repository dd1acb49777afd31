//! On which side lines begin, now and after the page was turned about.

/** Tells whether lines begin at the right in `element`, at once and whenever that changes; the result stops it. */
export function watchDirection(element: Element, tell: (mirrored: boolean) => void): () => void {
  const look = () => tell(getComputedStyle(element).direction === "rtl");
  look();
  const turned = new MutationObserver(look);
  turned.observe(document.documentElement, { attributeFilter: ["dir"] });
  return () => turned.disconnect();
}
