/**
 * Globals of every browser that Node 18, which is Debian 12's, keeps in modules.
 *
 * For unit tests alone. Nothing is replaced where it is there already.
 */
import { File } from "node:buffer";
import { webcrypto } from "node:crypto";

for (const [name, value] of Object.entries({ File, crypto: webcrypto })) {
  if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value });
}
