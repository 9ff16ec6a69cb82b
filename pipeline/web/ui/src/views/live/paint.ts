/** Draws a picture and what is known of its frame. */

import { areaOf, type Fit, place } from "./fit.ts";
import type { Trails } from "./layout.ts";
import type { BoxState, Point, WireBox } from "./wire.ts";
import type { ShownFrame } from "./wall.ts";

export interface Shapes {
  lines: readonly { name: string; start: Point; end: Point }[];
  zones: readonly { name: string; corners: readonly Point[] }[];
}

export interface Overlay {
  shapes: Shapes | null;
  trails: Trails | null;
}

// On pictures, whatever the page's theme is: light enough for dark ones, with a dark edge.
const COLOURS: Record<BoxState, string> = {
  idle: "#7db4ff",
  counted: "#74d39a",
  alarm: "#ff6b5e",
};
const UNFOLLOWED = "#d5dbe4";
const SHAPE = "#f2d16b";
const EDGE = "rgb(0 0 0 / 70%)";
const FONT = "system-ui, sans-serif";

export function paint(canvas: HTMLCanvasElement, frame: ShownFrame, overlay: Overlay): void {
  const context = canvas.getContext("2d");
  if (!context || !canvas.width || !canvas.height) return;
  const fit = areaOf(frame.bitmap, canvas);
  const unit = Math.max(1, canvas.width / Math.max(1, canvas.clientWidth));
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(frame.bitmap, fit.x, fit.y, fit.width, fit.height);
  context.lineJoin = "round";
  if (overlay.shapes) drawShapes(context, fit, overlay.shapes, unit);
  const known = frame.known;
  if (!known) return;
  for (const box of known.boxes) drawBox(context, fit, box, unit, overlay.trails);
  for (const point of known.points) dot(context, place(point, fit), 4 * unit, COLOURS.counted);
}

function drawBox(
  context: CanvasRenderingContext2D,
  fit: Fit,
  box: WireBox,
  unit: number,
  trails: Trails | null,
): void {
  const [label, track, score, x0, y0, x1, y1, state, x, y] = box;
  const colour = track === null ? UNFOLLOWED : COLOURS[state];
  const [left, top] = place([x0, y0], fit);
  const [right, bottom] = place([x1, y1], fit);
  const trail = track !== null && trails ? trails.of(label, track) : [];
  if (trail.length > 1) stroke(context, trail.map((one) => place(one, fit)), colour, 2 * unit, 0.7);
  // Who is not followed does not count: his box is dashed.
  context.setLineDash(track === null ? [4 * unit, 4 * unit] : []);
  const width = state === "alarm" ? 3 : 2;
  for (const [style, extra] of [[EDGE, 2], [colour, 0]] as const) {
    context.strokeStyle = style;
    context.lineWidth = (width + extra) * unit;
    context.strokeRect(left, top, right - left, bottom - top);
  }
  context.setLineDash([]);
  if (track !== null) dot(context, place([x, y], fit), 3.5 * unit, colour);
  const words = track === null ? label : `${label} ${track}`;
  write(context, `${words} ${Math.round(score * 100)} %`, left, top, unit, colour);
}

function write(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  unit: number,
  colour: string,
): void {
  const size = 11 * unit;
  context.font = `600 ${size}px ${FONT}`;
  const width = context.measureText(text).width + 6 * unit;
  const left = Math.min(Math.max(0, x - unit), Math.max(0, context.canvas.width - width));
  const top = Math.max(0, y - size - 4 * unit);
  context.fillStyle = "rgb(0 0 0 / 72%)";
  context.fillRect(left, top, width, size + 4 * unit);
  context.fillStyle = colour;
  context.textBaseline = "middle";
  context.fillText(text, left + 3 * unit, top + (size + 4 * unit) / 2);
}

function dot(
  context: CanvasRenderingContext2D,
  [x, y]: Point,
  radius: number,
  colour: string,
): void {
  context.beginPath();
  context.arc(x, y, radius, 0, Math.PI * 2);
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = radius / 2.5;
  context.strokeStyle = EDGE;
  context.stroke();
}

function stroke(
  context: CanvasRenderingContext2D,
  points: readonly Point[],
  colour: string,
  width: number,
  alpha = 1,
  isClosed = false,
): void {
  context.beginPath();
  points.forEach(([x, y], index) => {
    if (index) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  if (isClosed) context.closePath();
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
  context.globalAlpha = 1;
}

function drawShapes(
  context: CanvasRenderingContext2D,
  fit: Fit,
  shapes: Shapes,
  unit: number,
): void {
  for (const zone of shapes.zones) {
    const corners = zone.corners.map((corner) => place(corner, fit));
    stroke(context, corners, EDGE, 3 * unit, 0.6, true);
    stroke(context, corners, SHAPE, 1.5 * unit, 0.9, true);
    const [x, y] = corners[0] ?? [0, 0];
    write(context, zone.name, x, y, unit, SHAPE);
  }
  for (const line of shapes.lines) {
    const start = place(line.start, fit);
    const end = place(line.end, fit);
    stroke(context, [start, end], EDGE, 4 * unit, 0.6);
    stroke(context, [start, end], SHAPE, 2 * unit);
    arrow(context, start, end, unit);
    write(context, line.name, start[0], start[1], unit, SHAPE);
  }
}

/** The way in: to the right of who looks from the start of the line to its end. */
function arrow(context: CanvasRenderingContext2D, start: Point, end: Point, unit: number): void {
  const length = Math.hypot(end[0] - start[0], end[1] - start[1]);
  if (!length) return;
  const along = [(end[0] - start[0]) / length, (end[1] - start[1]) / length] as const;
  const right = [-along[1], along[0]] as const;
  const middle = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2] as const;
  const reach = 14 * unit;
  const tip: Point = [middle[0] + right[0] * reach, middle[1] + right[1] * reach];
  const wing = (side: number): Point => [
    tip[0] - (right[0] - along[0] * side) * 5 * unit,
    tip[1] - (right[1] - along[1] * side) * 5 * unit,
  ];
  stroke(context, [middle, tip], SHAPE, 2 * unit);
  stroke(context, [wing(1), tip, wing(-1)], SHAPE, 2 * unit);
}
