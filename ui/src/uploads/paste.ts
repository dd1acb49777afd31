//! Pictures that somebody pastes: in the app's window it reads the clipboard itself, on a page the browser hands it over.
//!
//! Invariant: text that is pasted into a field of text stays there, and so does what comes with text.

export interface PasteTargets {
  /** The app is to look at the clipboard; none on a page. */
  app: (() => void) | null;
  /** Files that were pasted on a page. */
  files: (files: File[]) => void;
}

/** A paste follows its key at once, in milliseconds. */
const MOMENT = 50;

/** Starts to watch; the result stops it. */
export function watchPaste({ app, files }: PasteTargets): () => void {
  let untold: ReturnType<typeof setTimeout> | undefined;
  const onKey = (event: KeyboardEvent) => {
    const isPaste = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    if (app === null || !isPaste || event.key.toLowerCase() !== "v" || event.repeat) return;
    if (isEditable(event.target)) {
      // The web view may not even tell the field of what has no text.
      untold = setTimeout(app, MOMENT);
      return;
    }
    event.preventDefault();
    app();
  };
  const onPaste = (event: ClipboardEvent) => {
    const isInField = isEditable(event.target);
    if (app !== null) {
      clearTimeout(untold);
      // Elsewhere the key was enough. Where there is nothing at all, the app says so.
      if (isInField && isWithoutText(event.clipboardData)) {
        event.preventDefault();
        app();
      }
      return;
    }
    if (isInField && !isWithoutText(event.clipboardData)) return;
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (pasted.length === 0) return;
    event.preventDefault();
    files(pasted.map((file, index) => named(file, index, new Date())));
  };
  addEventListener("keydown", onKey);
  addEventListener("paste", onPaste);
  return () => {
    clearTimeout(untold);
    removeEventListener("keydown", onKey);
    removeEventListener("paste", onPaste);
  };
}

/** What browsers call every picture that has no name of its own. */
const NAMELESS = /^image\.(\w+)$/;

/** A picture without a name gets one of the moment, as the app's do. */
export function named(file: File, index: number, at: Date): File {
  const ending = NAMELESS.exec(file.name)?.[1];
  if (ending === undefined) return file;
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join("-");
  const number = index === 0 ? "" : ` (${index + 1})`;
  return new File([file], `Pasted ${day} ${time}${number}.${ending}`, { type: file.type });
}

/** Whether there is nothing that a field would take. */
export function isWithoutText(data: DataTransfer | null): boolean {
  return ["text/plain", "text/html"].every((type) => (data?.getData(type) ?? "") === "");
}

function isEditable(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"))
  );
}
