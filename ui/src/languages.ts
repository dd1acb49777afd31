//! The languages that there are texts in. Not here: which of them is read.

export type Language = "en" | "de";

export const LANGUAGES: readonly Language[] = ["en", "de"];
