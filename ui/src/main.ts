//! Learns how the page is to look and in which language it speaks, then starts it.

// First of all: it fixes the order of the layers that the components put their styles into.
import "./styles/index.css";

import { applyLook, AS_THE_SYSTEM, type Look, storedLook } from "./look";

interface Internals {
  invoke(command: string): Promise<Look>;
}

async function chosenLook(): Promise<Look> {
  const app = (window as { __TAURI_INTERNALS__?: Internals }).__TAURI_INTERNALS__;
  if (app === undefined) return storedLook();
  // Not by the bindings: they would be another file to wait for. An app that does not answer says so on the screen.
  return app.invoke("general_preferences").catch(() => AS_THE_SYSTEM);
}

applyLook(await chosenLook());
await (await import("./start")).start();
