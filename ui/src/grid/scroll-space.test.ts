import { describe, expect, it } from "vitest";

import { MAX_HEIGHT, ScrollSpace } from "./scroll-space";

const VIEWPORT = 800;

function spaceOf(total: number): ScrollSpace {
  const space = new ScrollSpace();
  space.resize(total, VIEWPORT);
  return space;
}

/** The element's scroll position as the browser has it: whole, and never beyond its end. */
class Element {
  position = 0;
  readonly space: ScrollSpace;

  constructor(space: ScrollSpace) {
    this.space = space;
  }

  scrollTo(position: number): void {
    this.position = Math.min(Math.max(0, this.space.height - VIEWPORT), Math.max(0, position));
    const instead = this.space.scrolled(this.position);
    if (instead !== null) this.position = instead;
    expect(this.space.dom).toBe(this.position);
  }

  rest(): void {
    this.position = this.space.settle() ?? this.position;
  }
}

describe("a grid that is no higher than an element may be", () => {
  it("is scrolled as any element is", () => {
    const space = spaceOf(100_000);
    const element = new Element(space);
    for (const position of [10, 5000, 99_000, 3, 999_999, 0]) {
      element.scrollTo(position);
      expect(space.top).toBe(element.position);
      expect(space.offset).toBe(0);
    }
  });

  it("grows in front without a movement, and comes to rest unseen", () => {
    const space = spaceOf(100_000);
    const element = new Element(space);
    element.scrollTo(5000);
    space.resize(100_300, VIEWPORT);
    expect(space.shiftTo(5300)).toBe(5000);
    element.scrollTo(5050);
    expect(space.top).toBe(5350);
    element.rest();
    expect(element.position).toBe(5350);
    expect(space.top).toBe(5350);
  });

  it("reaches its beginning also where the element is there before it", () => {
    const space = spaceOf(100_000);
    const element = new Element(space);
    element.scrollTo(100);
    space.resize(103_000, VIEWPORT);
    space.shiftTo(3100);
    element.scrollTo(0);
    expect(space.top).toBe(3000);
    element.scrollTo(element.position - 5000);
    expect(space.top).toBe(0);
    expect(element.position).toBe(0);
  });
});

describe("a grid that is higher", () => {
  const TOTAL = 60_000_000;

  it("makes the element as high as it may be", () => {
    expect(spaceOf(TOTAL).height).toBe(MAX_HEIGHT);
  });

  it("moves by a pixel for a pixel of the wheel, from one end to the other", () => {
    const space = spaceOf(3 * MAX_HEIGHT);
    const element = new Element(space);
    let top = 0;
    for (let turn = 0; space.top < space.max; turn += 1) {
      element.scrollTo(element.position + 700);
      top = Math.min(space.max, top + 700);
      expect(Math.abs(space.top - top)).toBeLessThan(1);
      if (turn % 50 === 0) element.rest();
      expect(turn).toBeLessThan(50_000);
    }
    expect(element.position).toBe(space.height - VIEWPORT);
    for (let turn = 0; space.top > 0; turn += 1) {
      element.scrollTo(element.position - 700);
      expect(turn).toBeLessThan(50_000);
    }
    expect(element.position).toBe(0);
  });

  it("goes to the same fraction with the scroll bar, and to both ends exactly", () => {
    const space = spaceOf(TOTAL);
    const element = new Element(space);
    element.scrollTo(MAX_HEIGHT / 2);
    expect(space.top / TOTAL).toBeCloseTo(0.5, 2);
    element.scrollTo(space.height);
    expect(space.top).toBe(space.max);
    element.scrollTo(0);
    expect(space.top).toBe(0);
  });

  it("stays where it is when it comes to rest", () => {
    const space = spaceOf(TOTAL);
    const element = new Element(space);
    space.moveTo(31_234_567);
    element.position = space.dom;
    for (let turn = 0; turn < 100; turn += 1) element.scrollTo(element.position + 900);
    const { top } = space;
    expect(top).toBe(31_234_567 + 90_000);
    element.rest();
    expect(space.top).toBe(top);
    expect(space.settle()).toBeNull();
    // The next leap finds it where the scroll bar shows it.
    expect(element.position / MAX_HEIGHT).toBeCloseTo(top / TOTAL, 1);
  });

  it("is never scrolled beyond an end", () => {
    const space = spaceOf(TOTAL);
    expect(space.moveTo(-5)).toBe(0);
    expect(space.moveTo(TOTAL)).toBe(space.height - VIEWPORT);
    expect(space.top).toBe(TOTAL - VIEWPORT);
  });
});
