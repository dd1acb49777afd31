//! Lets the page work with no network. On the web page alone: the desktop app keeps its own cache.

/** Never rejects: without a worker the page is what it was. */
export function registerWorker(): void {
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker.register("/sw.js").catch((thrown: unknown) => {
    console.warn("The page does not work offline here.", thrown);
  });
}
