//! Learns how the page is to look and in which language it speaks, then starts it.

// First of all: it fixes the order of the layers that the components put their styles into.
import "./styles/index.css";

import { applyLook, AS_THE_SYSTEM, type Look, storedLook } from "./look";

async function chosenLook(): Promise<Look> {
  if (!("__TAURI_INTERNALS__" in window)) return storedLook();
  const { commands } = await import("./ipc/bindings");
  // An app that does not answer says so on the screen that follows.
  return commands.generalPreferences().catch(() => AS_THE_SYSTEM);
}

applyLook(await chosenLook());
await (await import("./start")).start();
