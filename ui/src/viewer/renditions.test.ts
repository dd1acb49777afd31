import { expect, it } from "vitest";

import { anImage } from "../ipc/testing";
import { canMove, finest, isFiner } from "./renditions";

const HEIC = anImage("heic", {
  content_type: "image/heic",
  display_url: "https://gallery.example/v1/images/heic/thumb/2560",
});

it("the last step is the original, or what the server made because nothing here can paint that", () => {
  expect(finest(anImage("jpeg"))).toBe("original");
  expect(finest(HEIC)).toBe(2560);
});

it("each step is finer than the one before, and none than itself", () => {
  const steps = [320, 1280, 2560, "original"] as const;
  for (const [index, step] of steps.entries()) {
    expect(steps.filter((other) => isFiner(step, other))).toEqual(steps.slice(0, index));
  }
});

it("what moves is shown moving only where the original can be shown", () => {
  expect(canMove(anImage("gif", { animated: true }))).toBe(true);
  expect(canMove(anImage("still"))).toBe(false);
  expect(canMove({ ...HEIC, animated: true })).toBe(false);
});
