//! Chooses what stands behind the screens, and shows them.

import { mount } from "svelte";

import App from "./App.svelte";
import type { Backend } from "./ipc/backend";
import { watchModality } from "./kit/modality";
import { watchTips } from "./kit/tips";
import { locale } from "./locale";
import { AppModel } from "./state/app.svelte";

async function chooseBackend(): Promise<Backend> {
  // `npm run design`; no other build has the made-up gallery in it.
  if (import.meta.env.MODE === "design") {
    // `?dir=rtl`: how it looks where lines begin at the right.
    document.documentElement.dir = new URLSearchParams(location.search).get("dir") ?? "";
    return (await import("./ipc/fake")).fakeBackend(location.search);
  }
  if ("__TAURI_INTERNALS__" in window) return (await import("./ipc/tauri")).tauriBackend();
  if (import.meta.env.PROD) (await import("./worker/register")).registerWorker();
  return (await import("./ipc/http")).httpBackend();
}

export async function start(): Promise<void> {
  document.documentElement.lang = locale.language;
  const target = document.getElementById("app");
  if (target === null) throw new Error("the page has no place for the app");
  watchModality();
  watchTips();
  mount(App, { target, props: { model: new AppModel(await chooseBackend()) } });
}
