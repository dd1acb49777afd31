//! Lets the page work with no network. On the web page alone: the desktop app keeps its own cache.

/** How long what was asked for before there was a worker may take to come, in milliseconds. */
const LATE = 60_000;

/** Never rejects: without a worker the page is what it was. */
export function registerWorker(): void {
  if (!("serviceWorker" in navigator)) return;
  const { serviceWorker } = navigator;
  if (serviceWorker.controller === null)
    serviceWorker.addEventListener("controllerchange", () => tellSeen(serviceWorker), { once: true });
  serviceWorker.register("/sw.js").catch((thrown: unknown) => {
    console.warn("The page does not work offline here.", thrown);
  });
}

/** On a first visit the page has much already when the worker comes, which is told what; some of it is still on its way. */
function tellSeen(serviceWorker: ServiceWorkerContainer): void {
  const since = performance.now();
  const observer = new PerformanceObserver((list) => {
    const seen = list.getEntries().filter(({ startTime }) => startTime <= since);
    if (seen.length > 0) serviceWorker.controller?.postMessage({ seen: seen.map(({ name }) => name) });
  });
  observer.observe({ type: "resource", buffered: true });
  setTimeout(() => observer.disconnect(), LATE);
}
