import { expect, it } from "vitest";

import { sentence } from "./backend";

it.each([
  ["there is no such file; check its name", "There is no such file; check its name."],
  ["the store is full (507)", "The store is full (507)."],
  // Addresses and file names are written as they are.
  ["http://example.org/ cannot be reached", "http://example.org/ cannot be reached."],
  ["notes.png is no picture", "notes.png is no picture."],
  ["imgn-server is too old", "imgn-server is too old."],
  ["Enter a name.", "Enter a name."],
  ["Is it there?", "Is it there?"],
  ["", ""],
])("%j is told as %j", (message, told) => {
  expect(sentence(message)).toBe(told);
});
