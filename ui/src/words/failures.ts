//! What went wrong, in other words than the core's, which are English. One table for each language, which the app's own part
//! (`crates/imgn-desk/src/words.rs`) reads as well. `{detail}` is the core's message, where that tells more than its code.

import type { Code } from "../ipc/bindings";
import german from "./failures.de.json";

/** Complete, or it does not compile. */
const GERMAN: Record<Code, string> = german;

/** A failure in German, or in the core's words where its code is not known here. What is told in German already stays. */
export function germanFailure(code: string, message: string): string {
  const told = (GERMAN as Readonly<Record<string, string>>)[code];
  if (told === undefined || message.startsWith(told.replace(/( \({detail}\))?\.$/, ""))) return message;
  return told.replace("{detail}", () => message.replace(/\.$/, ""));
}
