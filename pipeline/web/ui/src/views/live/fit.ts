/** Where a picture lies in a frame that has another shape. */

import type { Point } from "./wire.ts";

export interface Fit {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The largest place for a picture within an area, in the middle of it. */
export function areaOf(
  picture: { width: number; height: number },
  area: { width: number; height: number },
): Fit {
  const scale = Math.min(area.width / picture.width, area.height / picture.height);
  const width = picture.width * scale;
  const height = picture.height * scale;
  return { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
}

/** A place in 0..1 of the picture, in the area. */
export function place([x, y]: Point, fit: Fit): Point {
  return [fit.x + x * fit.width, fit.y + y * fit.height];
}
