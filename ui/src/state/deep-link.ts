//! A picture's own address on the web page, `/i/{id}`, and what the browser's history knows of the viewer.
//!
//! Not here: the desktop window, which has no address. Invariant: one step back from an opened picture is the grid.

import type { AppModel } from "./app.svelte";

const PREFIX = "/i/";

/** The id of the picture that a path names; null when it names none. */
export function pictureOf(path: string): string | null {
  if (!path.startsWith(PREFIX)) return null;
  const id = path.slice(PREFIX.length).replace(/\/$/, "");
  return /^[0-9a-zA-Z-]{1,64}$/.test(id) ? id : null;
}

export const pathOf = (id: string | null): string => (id === null ? "/" : PREFIX + id);

export type Step = "push" | "replace" | "back" | null;

/** What brings the address from the picture that it names to the one that is viewed; `own`: whether this page put it there. */
export function stepTo(named: string | null, viewed: string | null, own: boolean): Step {
  if (named === viewed) return null;
  if (viewed === null) return own ? "back" : "replace";
  return named === null ? "push" : "replace";
}

/** Opens the picture that the address names and keeps the two the same; the result stops it. */
export function followAddress(model: AppModel): () => void {
  const follow = () => {
    const id = pictureOf(location.pathname);
    if (id === null) model.viewing = null;
    else if (id !== model.viewing?.image.id) {
      void model.view(id).then(() => {
        if (model.viewing === null) tellAddress(null);
      });
    }
  };
  addEventListener("popstate", follow);
  follow();
  return () => removeEventListener("popstate", follow);
}

/** Makes the address name what is viewed. */
export function tellAddress(viewed: string | null): void {
  const own = (history.state as { imgn?: boolean } | null)?.imgn === true;
  const step = stepTo(pictureOf(location.pathname), viewed, own);
  const url = pathOf(viewed) + location.search;
  if (step === "push") history.pushState({ imgn: true }, "", url);
  else if (step === "replace") history.replaceState(history.state, "", url);
  else if (step === "back") history.back();
}
