import { expect, it } from "vitest";

import { isOpen, serverAddress } from "./address";

it.each([
  ["gallery.example.org", "https://gallery.example.org"],
  ["  gallery.example.org/ ", "https://gallery.example.org"],
  ["https://example.org/pictures/", "https://example.org/pictures"],
  ["http://example.org:8080", "http://example.org:8080"],
  ["localhost:8787", "http://localhost:8787"],
  ["127.0.0.1:8787", "http://127.0.0.1:8787"],
  ["192.168.1.5:8787", "http://192.168.1.5:8787"],
  ["172.15.0.1", "https://172.15.0.1"],
  ["nas.local", "http://nas.local"],
  ["https://nas.local?x=1#y", "https://nas.local"],
])("%j is %s", (typed, address) => expect(serverAddress(typed)).toBe(address));

it.each([
  "",
  "  ",
  "two words",
  "ftp://example.org",
  "file:///etc/passwd",
  "https://me:secret@example.org",
  "http://",
])("%j is no server", (typed) => expect(serverAddress(typed)).toBeNull());

it.each([
  ["http://example.org", true],
  ["192.168.1.5:8787", true],
  ["nas.local", true],
  ["example.org", false],
  ["https://nas.local", false],
  ["localhost:8787", false],
  ["http://127.0.0.1:8787", false],
  ["http://[::1]:8787", false],
  ["", false],
])("whether a token to %j can be read on the way is %s", (typed, open) => expect(isOpen(typed)).toBe(open));
