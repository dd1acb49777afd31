import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import { hashFile } from "./sha256";

describe("SHA-256", () => {
  it.each([
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    [
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ],
  ])("of the published vector %j", async (text, expected) => {
    expect(await hashFile(new Blob([text]))).toBe(expected);
  });

  it.each([1, (1 << 17) - 1, 1 << 20, (1 << 20) + 1, 3_333_333])(
    "of %d bytes read in pieces is that of another implementation",
    async (size) => {
      const bytes = Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
      const seen: number[] = [];
      const sum = await hashFile(new Blob([bytes]), { onProgress: (done) => seen.push(done) });
      expect(sum).toBe(createHash("sha256").update(bytes).digest("hex"));
      expect(seen.at(-1)).toBe(size);
    },
  );

  it("stops when told to", async () => {
    const stop = new AbortController();
    stop.abort(new Error("enough"));
    await expect(hashFile(new Blob(["abc"]), { signal: stop.signal })).rejects.toThrow("enough");
  });
});
