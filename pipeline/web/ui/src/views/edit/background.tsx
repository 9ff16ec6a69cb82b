/** What is drawn on: the picture, how long feet were where, and the paths that were walked. */

import { useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Heat, Trail } from "./api.ts";
import type { XY } from "./geometry.ts";
import type { EditorState, View } from "./store.ts";

const TRAIL = "rgb(255 214 102 / 42%)";
const CHOSEN = "rgb(255 255 255 / 95%)";
const EMPTY = "#202834";

export function Background({ state }: { state: EditorState }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const paint = () => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const { clientWidth: width, clientHeight: height } = element;
    if (element.width !== Math.round(width * ratio)) element.width = Math.round(width * ratio);
    if (element.height !== Math.round(height * ratio)) element.height = Math.round(height * ratio);
    const size: XY = [element.width, element.height];
    draw(context, size, size, state, state.view.value);
  };
  useSignalEffect(paint);
  useEffect(() => {
    if (!canvas.current) return;
    const watcher = new ResizeObserver(paint);
    watcher.observe(canvas.current);
    return () => watcher.disconnect();
  }, []);
  return (
    <canvas
      ref={canvas}
      class="edit-canvas"
      aria-hidden="true"
      data-shown-track={state.shown.value?.track}
    />
  );
}

/** Draw what a view shows onto a canvas of some size; `whole` is that of the stage. */
export function draw(
  context: CanvasRenderingContext2D,
  size: XY,
  [width, height]: XY,
  state: EditorState,
  view: View,
): void {
  const { x, y, zoom } = view;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = EMPTY;
  context.fillRect(0, 0, ...size);
  context.setTransform(width * zoom, 0, 0, height * zoom, -x * width * zoom, -y * height * zoom);
  const bitmap = state.picture.value?.bitmap;
  if (bitmap) context.drawImage(bitmap, 0, 0, 1, 1);
  if (state.heat.value) drawHeat(context, state.heat.value);
  const thin = 1.4 / (width * zoom);
  for (const trail of state.trails.value) drawTrail(context, trail, TRAIL, thin);
  if (state.shown.value) drawTrail(context, state.shown.value, CHOSEN, 2.5 * thin);
}

function drawHeat(context: CanvasRenderingContext2D, heat: Heat): void {
  const most = Math.max(...heat.seconds);
  if (most <= 0) return;
  const [width, height] = [1 / heat.columns, 1 / heat.rows];
  heat.seconds.forEach((seconds, index) => {
    if (seconds <= 0) return;
    // By the square root, or a place where one stands all day leaves all else cold.
    const warmth = Math.sqrt(seconds / most);
    const hue = 220 - 220 * warmth;
    context.fillStyle = `hsl(${hue} 90% 55% / ${Math.round(15 + 50 * warmth)}%)`;
    const [column, row] = [index % heat.columns, Math.floor(index / heat.columns)];
    context.fillRect(column * width, row * height, width, height);
  });
}

function drawTrail(
  context: CanvasRenderingContext2D,
  trail: Trail,
  colour: string,
  thickness: number,
): void {
  context.beginPath();
  for (const [index, [, x, y]] of trail.points.entries()) {
    if (index === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  }
  context.strokeStyle = colour;
  context.lineWidth = thickness;
  context.stroke();
}
