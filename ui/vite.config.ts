import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// One build serves both the desktop window and the server's web page. Both send a content security policy without
// `unsafe-inline` and without `data:`, so nothing may be inlined into the page.
export default defineConfig({
  plugins: [svelte()],
  server: { port: 5173, strictPort: true },
  build: {
    target: ["chrome123", "safari17.5", "firefox121"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es" },
  test: {
    include: ["src/**/*.test.ts"],
    environment: "node",
    setupFiles: ["src/test-globals.ts"],
  },
});
