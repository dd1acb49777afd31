//! One picture of the grid, as elements. They outlive the picture that they show: the grid gives them another one.
//!
//! By hand and not as a component: this is what scrolling does a hundred times a frame, and each style and attribute is
//! touched only when it is another one. Invariant: an element never shows the thumbnail of a picture that is not its own.

import { formats, motionName } from "../kit/format";
import type { Image, Picture } from "../ipc/types";
import { strings } from "../strings";
import { Retry } from "./retry";
import { paintThumbhash } from "./thumbhash";

/** Captions stand one part under the other in cells that are narrower. */
const NARROW = 200;

/**
 * Cells that are lower go without a caption. In a narrow one it takes 75 CSS pixels, as `cells.css` has it: two lines of 17,
 * 8 below them, and 32 above in which the shade fades. A quarter of the picture is to be left clear of it.
 */
const LOW = 100;

/** How much of a picture is shown while it goes by: its place alone, its colours, or all of it. */
export type Detail = "place" | "colours" | "picture";

/** A longer side of a rendition, in pixels. */
export type CellSize = 320 | 1280;

export type PictureUrl = (image: Image, size: CellSize) => string;

/** A long picture is cut in the grid, and enlarged when its thumbnail's shorter side is smaller, in pixels: about half a row. */
const SHORTEST_SIDE = 96;

/** Which rendition fills a cell. */
export function cellSize({ width, height }: Pick<Image, "width" | "height">): CellSize {
  const longer = Math.max(width, height);
  return longer > 320 && (320 * Math.min(width, height)) / longer < SHORTEST_SIDE ? 1280 : 320;
}

export class GridCell {
  readonly root: HTMLElement;
  readonly open: HTMLButtonElement;
  readonly check: HTMLButtonElement;
  sequence = -1;
  index = -1;
  picture: Picture | null = null;

  /** Whether it is within the window, as of the last drawing. */
  inSight = false;

  readonly #settled: (cell: GridCell) => void;
  readonly #canvas: HTMLCanvasElement;
  readonly #name: HTMLElement;
  readonly #size: HTMLElement;
  readonly #pictureUrl: PictureUrl;
  #image: HTMLImageElement;
  #badge: HTMLElement | null = null;
  #kept: HTMLElement | null = null;
  #x = Number.NaN;
  #y = Number.NaN;
  #width = -1;
  #height = -1;
  #isNarrow = false;
  #isLow = false;
  #count = -1;
  #isSelected = false;
  #isCurrent = false;
  #hasColours = false;
  #label = "";
  #source = "";
  /** Whether it was looked whether the thumbnail is enough. */
  #isSharp = false;
  readonly #retry = new Retry(() => this.#ask());

  /** `settled` is called when the thumbnail is there, which is seen once `reveal` is called, and when it did not come. */
  constructor(pictureUrl: PictureUrl, settled: (cell: GridCell) => void) {
    this.#pictureUrl = pictureUrl;
    this.#settled = settled;
    this.root = element("div", "cell");
    this.root.role = "listitem";
    this.root.onanimationend = () => this.root.classList.remove("fades");
    this.open = element("button", "open");
    this.open.type = "button";
    this.open.tabIndex = -1;
    this.open.draggable = true;
    this.#canvas = element("canvas", "");
    this.#canvas.ariaHidden = "true";
    this.#canvas.width = this.#canvas.height = 1;
    this.#image = this.#newImage();
    const caption = element("span", "caption");
    caption.ariaHidden = "true";
    this.#name = element("span", "name truncate");
    this.#size = element("span", "size truncate");
    caption.append(this.#name, this.#size);
    this.open.append(this.#canvas, this.#image);
    this.check = element("button", "check");
    this.check.type = "button";
    this.check.tabIndex = -1;
    this.check.role = "checkbox";
    this.check.append(tick());
    // Beside the button, whose name says all of this.
    this.root.append(this.open, caption, this.check);
    this.#setSelected(false, true);
  }

  /** Where it stands, in whole CSS pixels. */
  place(x: number, y: number, width: number, height: number): void {
    const { style } = this.root;
    if (x !== this.#x || y !== this.#y) {
      this.#x = x;
      this.#y = y;
      style.transform = `translate(${x}px, ${y}px)`;
    }
    if (width !== this.#width) {
      this.#width = width;
      style.width = `${width}px`;
      if (width < NARROW !== this.#isNarrow) {
        this.#isNarrow = !this.#isNarrow;
        this.root.classList.toggle("narrow", this.#isNarrow);
      }
    }
    if (height !== this.#height) {
      this.#height = height;
      style.height = `${height}px`;
      if (height < LOW !== this.#isLow) {
        this.#isLow = !this.#isLow;
        this.root.classList.toggle("low", this.#isLow);
      }
    }
  }

  /** Which picture it is; undefined when that is not known yet. */
  show(
    sequence: number,
    index: number,
    count: number,
    picture: Picture | null | undefined,
    detail: Detail,
  ): void {
    if (sequence !== this.sequence) this.#begin(sequence);
    if (index !== this.index) {
      this.index = index;
      this.root.ariaPosInSet = String(index + 1);
    }
    if (count !== this.#count) {
      this.#count = count;
      this.root.ariaSetSize = String(count);
    }
    // What is asked for anew stays as it is until the answer.
    if (picture && picture !== this.picture) this.#describe(picture);
    if (this.picture === null || detail === "place") return;
    // Beyond the window the thumbnail is likely there before anybody sees its colours.
    if (!this.#hasColours && this.inSight && !this.root.classList.contains("painted")) {
      this.#hasColours = true;
      paintThumbhash(this.#canvas, this.picture.image.thumbhash);
    }
    if (detail === "picture" && this.#source === "") {
      this.#source = this.#pictureUrl(this.picture.image, 320);
      this.#image.src = this.#source;
    }
  }

  /** Shows the thumbnail, if there is one. Nothing fades while pictures go by: each that does is a layer of its own. */
  reveal(fades: boolean): void {
    if (this.#source === "" || !this.#image.complete || this.#image.naturalWidth === 0) return;
    this.#image.classList.add("shown");
    // What is under it need not be painted any more.
    this.root.classList.add("painted");
    if (fades) this.root.classList.add("fades");
  }

  /** Whether the thumbnail is seen, or did not come. */
  get isSettled(): boolean {
    return this.#isShown || this.#retry.isMissing;
  }

  get #isShown(): boolean {
    return this.#image.classList.contains("shown");
  }

  mark(isSelected: boolean, isCurrent: boolean): void {
    this.#setSelected(isSelected, false);
    if (isCurrent === this.#isCurrent) return;
    this.#isCurrent = isCurrent;
    this.open.tabIndex = isCurrent ? 0 : -1;
  }

  /** Asks again for a thumbnail that did not come. */
  askAgain(): void {
    this.#retry.again();
  }

  /** Lets go of the picture and of its pixels. */
  clear(): void {
    this.#begin(-1);
    this.index = -1;
    this.mark(false, false);
  }

  #begin(sequence: number): void {
    this.sequence = sequence;
    this.#retry.end();
    this.#isSharp = false;
    if (this.#source !== "") {
      this.#source = "";
      this.#image.removeAttribute("src");
      this.#image.classList.remove("shown");
      this.root.classList.remove("painted", "fades");
    }
    if (this.#hasColours) {
      this.#hasColours = false;
      // Setting the size clears it.
      this.#canvas.width = 1;
    }
    if (this.picture === null) return;
    this.picture = null;
    this.#setKept(false);
    this.#badge?.remove();
    this.#badge = null;
    this.#image.alt = "";
    this.#name.textContent = "";
    this.#size.textContent = "";
    delete this.root.dataset.imageId;
    this.#call("");
  }

  #describe(picture: Picture): void {
    const isFirst = this.picture === null;
    this.picture = picture;
    this.#setKept(picture.kept);
    if (!isFirst) return;
    const { image } = picture;
    const size = formats.dimensions(image.width, image.height);
    this.root.dataset.imageId = image.id;
    this.#image.alt = image.file_name;
    this.#name.textContent = image.file_name;
    this.#size.textContent = size;
    this.#call(strings.cellLabel(image.file_name, size, image.animated));
    if (image.animated) {
      this.#badge = badge(image.content_type);
      // In front of the mark of what is kept, which makes room for it.
      this.check.after(this.#badge);
    }
  }

  #setKept(isKept: boolean): void {
    if (isKept === (this.#kept !== null)) return;
    this.#kept?.remove();
    this.#kept = isKept ? keptMark() : null;
    if (this.#kept !== null) this.root.append(this.#kept);
  }

  #setSelected(isSelected: boolean, anyway: boolean): void {
    if (isSelected === this.#isSelected && !anyway) return;
    this.#isSelected = isSelected;
    this.root.classList.toggle("selected", isSelected);
    this.check.ariaChecked = String(isSelected);
    this.#call(this.#label);
  }

  /** Names both buttons. */
  #call(label: string): void {
    this.#label = label;
    const name = label === "" ? strings.loading : label;
    this.open.ariaLabel = this.#isSelected ? strings.cellSelected(name) : name;
    this.check.ariaLabel = strings.select(this.picture?.image.file_name ?? name);
  }

  #newImage(): HTMLImageElement {
    const image = element("img", "");
    image.draggable = false;
    image.decoding = "async";
    image.alt = "";
    // One that another took the place of has no say.
    image.onload = () => {
      if (image !== this.#image) return;
      this.#retry.end();
      this.#settled(this);
    };
    image.onerror = () => {
      if (image !== this.#image || this.#source === "") return;
      this.#retry.failed();
      this.#settled(this);
    };
    return image;
  }

  /** Puts more in the place of a thumbnail that has too little. Where that does not come, the thumbnail stays. */
  sharpen(): void {
    if (this.picture === null || this.#isSharp || !this.#isShown) return;
    this.#isSharp = true;
    const { image } = this.picture;
    const size = cellSize(image);
    if (size === 320) return;
    const [coarse, fine] = [this.#image, this.#newImage()];
    fine.alt = coarse.alt;
    const instead = () => {
      if (this.#image !== coarse || this.picture?.image.id !== image.id) return;
      fine.className = coarse.className;
      coarse.replaceWith(fine);
      this.#image = fine;
    };
    fine.addEventListener("load", instead, { once: true });
    fine.src = this.#pictureUrl(image, size);
  }

  /** By an image element of its own for each attempt: the failed one would not ask again. */
  #ask(): void {
    const again = this.#newImage();
    again.alt = this.#image.alt;
    again.src = this.#source;
    this.#image.replaceWith(again);
    this.#image = again;
  }
}

function element<K extends keyof HTMLElementTagNameMap>(name: K, classes: string): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = classes;
  return made;
}

/** As `MotionBadge` draws it. */
function badge(contentType: string): HTMLElement {
  const made = element("span", "badge");
  made.dataset.testid = "motion-badge";
  made.role = "img";
  made.ariaLabel = strings.animated;
  made.title = strings.animated;
  made.textContent = motionName(contentType);
  return made;
}

/** Says that the original is kept on this computer. */
function keptMark(): HTMLElement {
  const made = element("span", "kept");
  made.dataset.testid = "kept-mark";
  made.role = "img";
  made.ariaLabel = strings.keptMark;
  made.title = strings.keptMark;
  made.append(drawing("M12 5v9.500M7.500 10.500l4.500 4.500 4.500-4.500M6 19h12"));
  return made;
}

function tick(): SVGElement {
  return drawing("m6.500 12.500 3.700 3.700L17.500 8.500");
}

function drawing(line: string): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", line);
  svg.append(path);
  return svg;
}
