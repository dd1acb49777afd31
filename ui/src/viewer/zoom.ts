//! How a picture stands in the viewer: fitted, enlarged around a point, moved about. Plain numbers, no document.
//!
//! Invariant: a picture that is smaller than the stage stands in its middle, one that is larger leaves no empty edge.

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Offsets are from the stage's middle to the picture's, in CSS pixels. */
export interface View {
  /** 1 is fitted. */
  readonly zoom: number;
  readonly x: number;
  readonly y: number;
}

export const FITTED: View = { zoom: 1, x: 0, y: 0 };

/** Beyond this many CSS pixels for each pixel of the picture there is nothing more to see, unless it is so small that it does not
  fill the stage yet. */
const MAX_ENLARGEMENT = 4;

/** The size at which all of the picture is seen; small pictures are not enlarged. */
export function fit(picture: Size, stage: Size): Size {
  const scale = Math.min(1, stage.width / picture.width, stage.height / picture.height);
  return { width: picture.width * scale, height: picture.height * scale };
}

export function maxZoom(picture: Size, stage: Size): number {
  const fitted = fit(picture, stage).width / picture.width;
  const filling = Math.min(stage.width / picture.width, stage.height / picture.height);
  return fitted > 0 ? Math.max(2, Math.max(MAX_ENLARGEMENT, filling) / fitted) : 1;
}

/** `view` enlarged by `factor` so that the point at (`x`, `y`) from the stage's middle stays where it is. */
export function zoomAt(view: View, factor: number, x: number, y: number, picture: Size, stage: Size): View {
  const zoom = Math.min(maxZoom(picture, stage), Math.max(1, view.zoom * factor));
  const ratio = zoom / view.zoom;
  return settle({ zoom, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio }, picture, stage);
}

/** A pixel of the picture on a CSS pixel, around the stage's middle; a picture that is not larger stays fitted. */
export function actualSize(view: View, picture: Size, stage: Size): View {
  return zoomAt(view, 1 / enlargement(view, picture, stage), 0, 0, picture, stage);
}

export function pan(view: View, dx: number, dy: number, picture: Size, stage: Size): View {
  return settle({ zoom: view.zoom, x: view.x + dx, y: view.y + dy }, picture, stage);
}

/** `view` moved as little as needed to leave no empty edge. */
export function settle(view: View, picture: Size, stage: Size): View {
  const fitted = fit(picture, stage);
  const roomX = Math.max(0, (fitted.width * view.zoom - stage.width) / 2);
  const roomY = Math.max(0, (fitted.height * view.zoom - stage.height) / 2);
  return {
    zoom: view.zoom,
    x: roomX === 0 ? 0 : Math.min(roomX, Math.max(-roomX, view.x)),
    y: roomY === 0 ? 0 : Math.min(roomY, Math.max(-roomY, view.y)),
  };
}

/** CSS pixels for each pixel of the picture. */
export function enlargement(view: View, picture: Size, stage: Size): number {
  return (fit(picture, stage).width / picture.width) * view.zoom;
}

/** Whether a rendition with this longest edge has fewer pixels than the screen shows. */
export function needsMoreThan(
  longEdge: number,
  view: View,
  picture: Size,
  stage: Size,
  pixelRatio: number,
): boolean {
  if (Math.max(picture.width, picture.height) <= longEdge) return false;
  const fitted = fit(picture, stage);
  return Math.max(fitted.width, fitted.height) * view.zoom * pixelRatio > longEdge * 1.1;
}
