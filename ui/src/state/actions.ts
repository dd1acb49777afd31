//! What can be done with pictures, as a list: for the menu, and for the bar of a selection.
//!
//! Invariant: what is not allowed or not there as things stand is not in the list.

import type { Picture } from "../ipc/types";
import { strings } from "../strings";
import type { AppModel } from "./app.svelte";
import { isSelected, toggle } from "./selection";

/** The names of drawings in `kit/Icon.svelte`. */
export type ActionIcon = "picture" | "link" | "download" | "keep" | "unkeep" | "check" | "trash";

export interface Action {
  readonly id: string;
  readonly icon: ActionIcon;
  readonly text: string;
  readonly danger?: boolean;
  readonly act: () => void;
}

export class PictureActions {
  readonly #model: AppModel;

  constructor(model: AppModel) {
    this.#model = model;
  }

  /** With one picture, or with the selection that it is in. */
  menuFor(picture: Picture): { label: string; items: Action[] } {
    const { gallery } = this.#model;
    if (isSelected(gallery.selection, picture.sequence) && gallery.selectedCount > 1) {
      const count = gallery.selectedCount;
      return { label: strings.menuOf(count), items: this.ofMany(count) };
    }
    return { label: strings.menuOf(1), items: this.#ofOne(picture) };
  }

  /** With all that are selected. */
  ofMany(count: number): Action[] {
    return this.#common(count, null);
  }

  #ofOne(picture: Picture): Action[] {
    const model = this.#model;
    const { gallery } = model;
    const selected = isSelected(gallery.selection, picture.sequence);
    return [
      { id: "open", icon: "picture", text: strings.open, act: () => (model.viewing = picture) },
      {
        id: "select",
        icon: "check",
        text: selected ? strings.deselectOne : strings.selectOne,
        act: () => (gallery.selection = toggle(gallery.selection, picture.sequence)),
      },
      ...this.#common(1, picture),
    ];
  }

  /** With one picture, or with all that are selected. */
  #common(count: number, one: Picture | null): Action[] {
    const model = this.#model;
    const actions: Action[] = [
      {
        id: "copy",
        icon: "link",
        text: strings.copyLinks(count),
        act: () => void (one === null ? model.copySelectedLinks() : model.copyLinks([one])),
      },
      ...(model.backend.links === null
        ? []
        : [
            {
              id: "link",
              icon: "link" as const,
              text: strings.copyLinksAs(count),
              act: () => void (one === null ? model.linkSelected() : (model.linking = [one.image])),
            },
          ]),
      {
        id: "download",
        icon: "download",
        text: strings.downloadMany(count),
        act: () => void (one === null ? model.downloadSelected() : model.download([one])),
      },
    ];
    if (model.backend.offline !== null && one?.kept !== true) {
      actions.push({
        id: "keep",
        icon: "keep",
        text: strings.keepOffline,
        act: () => void (one === null ? model.keepSelected() : model.keep([one], true)),
      });
    }
    if (one?.kept === true) {
      actions.push({
        id: "unkeep",
        icon: "unkeep",
        text: strings.dropOffline,
        act: () => void model.keep([one], false),
      });
    }
    if (model.mayWrite) {
      actions.push({
        id: "delete",
        icon: "trash",
        text: strings.deleteMany(count),
        danger: true,
        act: () => void (one === null ? model.deleteSelected() : model.delete([one])),
      });
    }
    return actions;
  }
}
