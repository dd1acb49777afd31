//! Shows what a control's `title` says, in the place of the browser's own tooltips.
//!
//! Those stay where they are, or come late, over what the control has opened: WebKitGTK takes one away only when the pointer moves.
//! Invariant: nothing is told of a control that was pressed until the pointer has left it, and its `title` is there again then, or
//! what was made of it meanwhile.

import { placeTip } from "./place";

/** How long the pointer rests before it is told something, in milliseconds. */
const REST = 600;
/** How often it is looked whether the control is still there. */
const LOOK = 250;

export function watchTips(): void {
  // What cannot stand over a dialog is left to the browser.
  if (!("showPopover" in HTMLElement.prototype)) return;
  const tip = document.createElement("div");
  tip.className = "tip always-dark";
  tip.popover = "manual";
  // Whoever does not see it has the same words of the control itself.
  tip.ariaHidden = "true";

  let anchor: HTMLElement | null = null;
  let words = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  let look: ReturnType<typeof setInterval> | undefined;

  /** Or the browser would show it as well. What it says may change meanwhile. */
  const take = () => {
    if (anchor === null) return;
    const title = anchor.getAttribute("title");
    // Empty is how it was left here: that it is taken away is seen then.
    if (title === "") return;
    words = title ?? "";
    if (title === null) return hide();
    anchor.setAttribute("title", "");
    if (tip.isConnected && tip.matches(":popover-open")) show();
  };
  const changed = new MutationObserver(take);

  const show = () => {
    if (anchor === null || !anchor.isConnected || !anchor.matches(":hover") || words === "") return hide();
    tip.textContent = words;
    if (!tip.isConnected) document.body.append(tip);
    if (!tip.matches(":popover-open")) tip.showPopover();
    const { width, height } = tip.getBoundingClientRect();
    const room = { width: innerWidth, height: innerHeight };
    const { left, top } = placeTip(anchor.getBoundingClientRect(), { width, height }, room);
    tip.style.left = `${left}px`;
    tip.style.top = `${top}px`;
    clearInterval(look);
    look = setInterval(() => {
      if (anchor === null || !anchor.isConnected || !anchor.matches(":hover")) hide();
    }, LOOK);
  };

  const hide = () => {
    clearTimeout(timer);
    clearInterval(look);
    if (tip.isConnected && tip.matches(":popover-open")) tip.hidePopover();
  };

  const leave = () => {
    hide();
    changed.disconnect();
    if (anchor?.getAttribute("title") === "" && words !== "") anchor.setAttribute("title", words);
    anchor = null;
    words = "";
  };

  const over = ({ target, pointerType }: PointerEvent) => {
    const titled = target instanceof Element ? target.closest<HTMLElement>("[title]") : null;
    if (anchor !== null && target instanceof Node && anchor.contains(target) && titled === null) return;
    if (titled === anchor && anchor !== null) return;
    leave();
    if (titled === null || pointerType === "touch") return;
    anchor = titled;
    take();
    changed.observe(titled, { attributeFilter: ["title"] });
    timer = setTimeout(show, REST);
  };

  addEventListener("pointerover", over, true);
  document.addEventListener("pointerleave", leave);
  for (const event of ["pointerdown", "keydown", "wheel", "scroll", "blur", "dragstart"])
    addEventListener(event, hide, { capture: true, passive: true });
}
