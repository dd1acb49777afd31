//! How the page looks and in which language it speaks, before there is anything to see. The desktop app has it in its
//! settings; the web page keeps it in the browser.
//!
//! Not here: any text. Invariant: no module with texts is loaded before the language is known.

import { LANGUAGES, type Language } from "./languages";

const KEY = "imgn.look";

export interface Look {
  readonly theme: "system" | "light" | "dark";
  readonly language: "system" | Language;
}

export const AS_THE_SYSTEM: Look = { theme: "system", language: "system" };

/** What this browser was told; what it does not hold is the system's. */
export function storedLook(): Look {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Record<keyof Look, unknown>>;
    const { theme, language } = stored;
    return {
      theme: theme === "light" || theme === "dark" ? theme : "system",
      language: LANGUAGES.find((known) => known === language) ?? "system",
    };
  } catch {
    return AS_THE_SYSTEM;
  }
}

export function storeLook({ theme, language }: Look): void {
  localStorage.setItem(KEY, JSON.stringify({ theme, language }));
}

export function applyTheme(theme: Look["theme"]): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

/** Before any text is read: `locale.ts` looks here. */
export function applyLook({ theme, language }: Look): void {
  applyTheme(theme);
  if (language === "system") delete document.documentElement.dataset["language"];
  else document.documentElement.dataset["language"] = language;
}
