//! Files that are dragged over and dropped on a page. In the desktop window the app itself takes them; there the page
//! only keeps the web view from opening a file in its own place.

import type { FileDrag } from "../ipc/types";

export interface PageDrops {
  drag(drag: FileDrag): void;
  dropped(files: readonly File[]): void;
}

/** Starts watching; the result stops it. */
export function watchPageDrops({ drag, dropped }: PageDrops): () => void {
  // Every element on the way is entered and left on its own; the window is left when all are.
  let depth = 0;

  const fileCount = (event: DragEvent): number | null => {
    const transfer = event.dataTransfer;
    if (transfer === null || !transfer.types.includes("Files")) return null;
    return [...transfer.items].filter((item) => item.kind === "file").length;
  };
  const on = (
    type: "dragenter" | "dragover" | "dragleave" | "drop",
    act: (count: number, event: DragEvent) => void,
  ) => {
    const listener = (event: DragEvent) => {
      const count = fileCount(event);
      if (count === null) return;
      event.preventDefault();
      act(count, event);
    };
    window.addEventListener(type, listener);
    return () => window.removeEventListener(type, listener);
  };

  const stops = [
    on("dragenter", (count) => {
      depth += 1;
      if (depth === 1) drag({ phase: "enter", count });
    }),
    on("dragover", (count, event) => {
      if (event.dataTransfer !== null) event.dataTransfer.dropEffect = "copy";
      drag({ phase: "enter", count });
    }),
    on("dragleave", (count) => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) drag({ phase: "leave", count });
    }),
    on("drop", (count, event) => {
      depth = 0;
      drag({ phase: "drop", count });
      dropped([...(event.dataTransfer?.files ?? [])]);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
