import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

import { focusByKeys } from "./src/styles/by-keys";

/** What is in `public/` and belongs to the page. */
const PUBLIC = [
  "/icon.svg",
  "/icon-192.png",
  "/icon-512.png",
  "/icon-maskable-512.png",
  "/manifest.webmanifest",
];

/** Writes the names of all files of the build into the service worker, which keeps them for when there is no network. */
const shellOfTheWorker: Plugin = {
  name: "imgn-shell",
  apply: "build",
  generateBundle(_options, bundle) {
    const worker = bundle["sw.js"];
    if (worker?.type !== "chunk") this.error("the service worker is not in the build");
    if (worker.imports.length > 0) this.error("the service worker imports other files");
    const files = Object.keys(bundle).filter((name) => name.startsWith("assets/"));
    const shell = JSON.stringify([...files.map((name) => `/${name}`).sort(), ...PUBLIC]);
    const code = worker.code.replace(/(["'`])%SHELL%\1/, () => JSON.stringify(shell));
    if (code === worker.code) this.error("the service worker has no place for the names of files");
    worker.code = code;
  },
};

// One build serves both the desktop window and the server's web page. Both send a content security policy without
// `unsafe-inline` and without `data:`, so nothing may be inlined into the page.
export default defineConfig({
  plugins: [svelte(), shellOfTheWorker],
  css: { postcss: { plugins: [focusByKeys] } },
  server: { port: 5173, strictPort: true },
  build: {
    target: ["chrome123", "safari17.5", "firefox121"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      input: { index: "index.html", sw: "src/worker/sw.ts" },
      output: {
        entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
      },
    },
  },
  worker: { format: "es" },
  test: {
    include: ["src/**/*.test.ts"],
    environment: "node",
    setupFiles: ["src/test-globals.ts"],
    benchmark: { include: ["src/**/*.bench.ts"] },
  },
});
