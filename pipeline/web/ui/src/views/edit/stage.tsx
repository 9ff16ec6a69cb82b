/** The picture with its shapes, which are drawn and moved by mouse, finger and keyboard. */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../../app/language.ts";
import { Background, draw } from "./background.tsx";
import { crossesItself, inward, middle, placed, snapped, type XY } from "./geometry.ts";
import {
  freeName,
  pointsOf,
  rulesOf,
  type ShapeName,
  shapesOf,
  withFlipped,
  withoutPoint,
  withoutShape,
  withPoint,
  withPointInserted,
  withPoints,
  withShapeMoved,
} from "./model.ts";
import type { EditorState } from "./store.ts";

/** The height of the drawing; its width follows from the picture. */
const HEIGHT = 1000;
const STEP = 0.001;
const LARGE_STEP = 0.01;
const DEFAULT_MARGIN = 0.01;
const LOUPE_PX = 112;
const LOUPE_ZOOM = 3;
const ARROWS: Record<string, XY> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

type Drag =
  | { what: "point"; shape: ShapeName; index: number }
  | { what: "shape"; shape: ShapeName; from: XY; draft: EditorState["draft"]["value"] }
  | { what: "view"; from: XY; view: EditorState["view"]["value"] };

export function isSelected(state: EditorState, shape: ShapeName): boolean {
  const selected = state.selected.value;
  return selected?.kind === shape.kind && selected.name === shape.name;
}

/** How a shape is called on the screen and to a screen reader. */
export function titleOf(shape: ShapeName): string {
  const name = shape.kind === "mask" ? String(Number(shape.name) + 1) : shape.name;
  return t(`edit.called_${shape.kind}`, { name });
}

export function Stage({ state }: { state: EditorState }) {
  const svg = useRef<SVGSVGElement>(null);
  const place = useRef<HTMLDivElement>(null);
  const drag = useRef<Drag | null>(null);
  const touch = useSignal<{ at: XY; x: number; y: number } | null>(null);
  const pointers = useRef(new Map<number, XY>());
  const width = HEIGHT * state.aspect.value;
  const { x, y, zoom } = state.view.value;

  const pointAt = (event: { clientX: number; clientY: number }): XY => {
    const box = svg.current?.getBoundingClientRect();
    if (!box) return [0, 0];
    const { x: left, y: top, zoom: scale } = state.view.value;
    return [
      left + (event.clientX - box.left) / box.width / scale,
      top + (event.clientY - box.top) / box.height / scale,
    ];
  };

  const begin = (event: PointerEvent, what: Drag) => {
    if (event.button !== 0 || state.drawing.value) return;
    event.stopPropagation();
    drag.current = what;
    svg.current?.setPointerCapture(event.pointerId);
    if (what.what !== "view") state.selected.value = what.shape;
  };

  const move = (event: PointerEvent) => {
    if (pointers.current.has(event.pointerId)) {
      if (pinch(event)) return;
      pointers.current.set(event.pointerId, [event.clientX, event.clientY]);
    }
    const what = drag.current;
    if (!what) return;
    const at = pointAt(event);
    if (what.what === "point") {
      const point = event.altKey ? placed(at) : placed(snapped(at, 0.012 / state.view.value.zoom));
      state.passing.value = withPoint(state.draft.value, what.shape, what.index, point);
      if (event.pointerType === "touch") {
        const box = place.current?.getBoundingClientRect();
        touch.value = {
          at: point,
          x: event.clientX - (box?.left ?? 0),
          y: event.clientY - (box?.top ?? 0),
        };
      }
    } else if (what.what === "shape") {
      const [dx, dy] = [at[0] - what.from[0], at[1] - what.from[1]];
      state.passing.value = withShapeMoved(what.draft, what.shape, dx, dy);
    } else {
      const box = svg.current?.getBoundingClientRect();
      if (!box) return;
      const { zoom: scale } = what.view;
      state.look({
        ...what.view,
        x: what.view.x - (event.clientX - what.from[0]) / box.width / scale,
        y: what.view.y - (event.clientY - what.from[1]) / box.height / scale,
      });
    }
  };

  /** Two fingers enlarge. */
  const pinch = (event: PointerEvent): boolean => {
    if (pointers.current.size !== 2) return false;
    const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
    const before = pointers.current.get(event.pointerId);
    if (!other || !before) return false;
    const distance = (a: XY, b: XY) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    const now: XY = [event.clientX, event.clientY];
    const [clientX, clientY] = middle(now, other);
    state.zoomAt(pointAt({ clientX, clientY }), distance(now, other) / distance(before, other));
    pointers.current.set(event.pointerId, now);
    drag.current = null;
    state.passing.value = null;
    return true;
  };

  const end = (event: PointerEvent) => {
    pointers.current.delete(event.pointerId);
    drag.current = null;
    touch.value = null;
    if (state.passing.value) state.change(state.passing.value);
  };

  const press = (event: PointerEvent) => {
    pointers.current.set(event.pointerId, [event.clientX, event.clientY]);
    if (event.button !== 0) return;
    const drawn = state.drawing.value;
    if (drawn) {
      addPoint(state, placed(snapped(pointAt(event))));
      return;
    }
    state.selected.value = null;
    begin(event, { what: "view", from: [event.clientX, event.clientY], view: state.view.value });
  };

  const turn = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey && state.view.value.zoom === 1 && event.deltaY > 0) return;
    event.preventDefault();
    state.zoomAt(pointAt(event), event.deltaY < 0 ? 1.2 : 1 / 1.2);
  };

  const keys = (event: KeyboardEvent) => {
    if (!state.drawing.value) return;
    if (event.key === "Escape") {
      event.preventDefault();
      state.drawing.value = null;
    } else if (event.key === "Enter") {
      event.preventDefault();
      finishDrawing(state);
    } else if (event.key === "Backspace") {
      event.preventDefault();
      state.drawing.value = {
        ...state.drawing.value,
        points: state.drawing.value.points.slice(0, -1),
      };
    }
  };

  const heightPx = useSignal(500);
  useEffect(() => {
    if (!place.current) return;
    const watcher = new ResizeObserver(([entry]) => {
      heightPx.value = entry?.contentRect.height || 500;
    });
    watcher.observe(place.current);
    return () => watcher.disconnect();
  }, []);
  // So many units of the drawing are a pixel of the screen.
  const unit = HEIGHT / zoom / heightPx.value;
  const shapes = shapesOf(state.draft.value);
  const selected = state.selected.value;
  return (
    <div
      class="edit-stage"
      ref={place}
      style={{ aspectRatio: String(state.aspect.value) }}
      data-drawing={state.drawing.value ? "" : undefined}
    >
      <Background state={state} />
      <svg
        ref={svg}
        class="edit-svg"
        viewBox={`${x * width} ${y * HEIGHT} ${width / zoom} ${HEIGHT / zoom}`}
        preserveAspectRatio="none"
        role="group"
        aria-label={t("edit.stage")}
        tabindex={state.drawing.value ? 0 : -1}
        onPointerDown={press}
        onPointerMove={move}
        onPointerUp={end}
        onPointerCancel={end}
        onWheel={turn}
        onKeyDown={keys}
      >
        {shapes.map((shape) => (
          <Shape
            key={`${shape.kind} ${shape.name}`}
            state={state}
            shape={shape}
            width={width}
            unit={unit}
            onGrab={(event) =>
              begin(event, {
                what: "shape",
                shape,
                from: pointAt(event),
                draft: state.draft.value,
              })
            }
          />
        ))}
        {selected && (
          <Handles
            state={state}
            shape={selected}
            width={width}
            unit={unit}
            onGrab={(event, index) => begin(event, { what: "point", shape: selected, index })}
          />
        )}
        {state.drawing.value && <Drawn state={state} width={width} unit={unit} />}
      </svg>
      {touch.value && <Loupe state={state} at={touch.value.at} x={touch.value.x} y={touch.value.y} />}
    </div>
  );
}

function Shape({
  state,
  shape,
  width,
  unit,
  onGrab,
}: {
  state: EditorState;
  shape: ShapeName;
  width: number;
  unit: number;
  onGrab: (event: PointerEvent) => void;
}) {
  const points = pointsOf(state.draft.value, shape);
  if (!points) return null;
  const spots = points.map(([x, y]) => `${x * width},${y * HEIGHT}`).join(" ");
  const isWrong = shape.kind !== "line" && crossesItself(points);
  return (
    <g
      class={`edit-shape edit-${shape.kind}`}
      data-selected={isSelected(state, shape) ? "" : undefined}
      data-wrong={isWrong ? "" : undefined}
      onPointerDown={onGrab}
    >
      {shape.kind === "line" ? (
        <LineShape state={state} name={shape.name} points={points} width={width} unit={unit} />
      ) : (
        <>
          <polygon class="edit-outline" points={spots} />
          {shape.kind === "zone" && points[0] && (
            <Name at={points[0]} text={shape.name} width={width} unit={unit} />
          )}
        </>
      )}
    </g>
  );
}

function Name({
  at,
  text,
  width,
  unit,
}: {
  at: XY;
  text: string;
  width: number;
  unit: number;
}) {
  const isRight = at[0] > 0.8;
  return (
    <text
      class="edit-name"
      x={at[0] * width + (isRight ? -8 : 8) * unit}
      y={at[1] * HEIGHT + (at[1] < 0.06 ? 20 : -8) * unit}
      font-size={13 * unit}
      stroke-width={3 * unit}
      text-anchor={isRight ? "end" : "start"}
      aria-hidden="true"
    >
      {text}
    </text>
  );
}

function LineShape({
  state,
  name,
  points,
  width,
  unit,
}: {
  state: EditorState;
  name: string;
  points: XY[];
  width: number;
  unit: number;
}) {
  const [from, to] = points;
  if (!from || !to) return null;
  const [ax, ay, bx, by] = [from[0] * width, from[1] * HEIGHT, to[0] * width, to[1] * HEIGHT];
  const [nx, ny] = inward(from, to, state.aspect.value);
  const [mx, my] = [(ax + bx) / 2, (ay + by) / 2];
  const long = 34 * unit;
  const [ex, ey] = [mx + nx * long, my + ny * long];
  const [tx, ty] = [-ny * 6 * unit, nx * 6 * unit];
  const back = 10 * unit;
  const { draft } = state;
  const rules = rulesOf(draft.value, { kind: "line", name });
  const rule = rules.map((one) => draft.value.rules[one]).find((one) => one?.["names"]);
  const names = (rule?.["names"] ?? {}) as Record<string, string>;
  const told = rules.map((one) => Number(draft.value.rules[one]?.["margin"] ?? DEFAULT_MARGIN));
  const margin = HEIGHT * Math.max(DEFAULT_MARGIN, ...told.filter(Number.isFinite));
  const band = [
    [ax + nx * margin, ay + ny * margin],
    [bx + nx * margin, by + ny * margin],
    [bx - nx * margin, by - ny * margin],
    [ax - nx * margin, ay - ny * margin],
  ];
  const text = { "font-size": 12 * unit, "stroke-width": 3 * unit, "aria-hidden": true } as const;
  return (
    <>
      <polygon class="edit-band" points={band.map((one) => one.join(",")).join(" ")} />
      <line class="edit-grip" x1={ax} y1={ay} x2={bx} y2={by} stroke-width={22 * unit} />
      <line class="edit-outline" x1={ax} y1={ay} x2={bx} y2={by} />
      <line class="edit-arrow" x1={mx} y1={my} x2={ex - nx * back} y2={ey - ny * back} />
      <polygon
        class="edit-arrow-head"
        points={`${ex},${ey} ${ex - nx * back + tx},${ey - ny * back + ty} ${ex - nx * back - tx},${ey - ny * back - ty}`}
      />
      <Name at={from} text={name} width={width} unit={unit} />
      <text
        class="edit-name"
        x={ex + nx * 12 * unit}
        y={ey + ny * 12 * unit + 4 * unit}
        text-anchor={nx < -0.4 ? "end" : nx > 0.4 ? "start" : "middle"}
        {...text}
      >
        {names["in"] ?? "in"}
      </text>
      <text
        class="edit-name edit-name-out"
        x={mx - nx * 22 * unit}
        y={my - ny * 22 * unit + 4 * unit}
        text-anchor={nx > 0.4 ? "end" : nx < -0.4 ? "start" : "middle"}
        {...text}
      >
        {names["out"] ?? "out"}
      </text>
    </>
  );
}

function Handles({
  state,
  shape,
  width,
  unit,
  onGrab,
}: {
  state: EditorState;
  shape: ShapeName;
  width: number;
  unit: number;
  onGrab: (event: PointerEvent, index: number) => void;
}) {
  const points = pointsOf(state.draft.value, shape);
  if (!points) return null;
  const keys = (event: KeyboardEvent, index: number) => {
    const point = points[index];
    const arrow = ARROWS[event.key];
    if (arrow && point) {
      const step = event.shiftKey ? LARGE_STEP : STEP;
      const goal = placed([point[0] + arrow[0] * step, point[1] + arrow[1] * step]);
      state.change(withPoint(state.draft.value, shape, index, goal));
      state.said.value = `${goal[0].toFixed(3)}, ${goal[1].toFixed(3)}`;
    } else if (event.key === "Delete" || event.key === "Backspace") {
      const draft = withoutPoint(state.draft.value, shape, index);
      if (draft === state.draft.value) state.said.value = t("edit.keeps_points");
      else state.change(draft);
    } else if (event.key === "+" || event.key === "Insert") {
      state.change(withPointInserted(state.draft.value, shape, index));
    } else if (event.key.toLowerCase() === "f" && shape.kind === "line" && !event.ctrlKey) {
      flip(state, shape.name);
    } else if (event.key === "Escape") {
      state.selected.value = null;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <g class={`edit-handles edit-${shape.kind}`}>
      {shape.kind !== "line" &&
        points.map((point, index) => {
          const next = points[(index + 1) % points.length] ?? point;
          const [x, y] = middle(point, next);
          return (
            <g
              key={`between ${index}`}
              class="edit-between"
              transform={`translate(${x * width} ${y * HEIGHT})`}
              onPointerDown={(event) => {
                if (event.button !== 0) return;
                state.change(withPointInserted(state.draft.value, shape, index));
                onGrab(event, index + 1);
              }}
            >
              <circle class="edit-reach" r={14 * unit} />
              <circle class="edit-dot" r={4 * unit} stroke-width={1.5 * unit} />
            </g>
          );
        })}
      {points.map((point, index) => (
        <g
          key={index}
          class="edit-point"
          role="button"
          tabindex={0}
          aria-roledescription={t("edit.point_role")}
          aria-label={pointLabel(shape, index, points.length, point)}
          transform={`translate(${point[0] * width} ${point[1] * HEIGHT})`}
          onPointerDown={(event) => {
            event.currentTarget.focus?.();
            onGrab(event, index);
          }}
          onKeyDown={(event) => keys(event, index)}
        >
          <circle class="edit-reach" r={22 * unit} />
          <circle class="edit-focus" r={13 * unit} stroke-width={3 * unit} />
          <circle class="edit-dot" r={7 * unit} stroke-width={2 * unit} />
        </g>
      ))}
    </g>
  );
}

function pointLabel(shape: ShapeName, index: number, count: number, [x, y]: XY): string {
  const which =
    shape.kind === "line"
      ? t(index === 0 ? "edit.point_start" : "edit.point_end")
      : t("edit.point_of", { n: index + 1, count });
  return `${titleOf(shape)}, ${which}: ${x.toFixed(3)}, ${y.toFixed(3)}`;
}

export function flip(state: EditorState, name: string): void {
  state.change(withFlipped(state.draft.value, name));
  state.said.value = t("edit.flipped");
}

export function remove(state: EditorState, shape: ShapeName): void {
  state.selected.value = null;
  state.change(withoutShape(state.draft.value, shape));
  state.said.value = t("edit.removed", { name: titleOf(shape) });
}

function Drawn({ state, width, unit }: { state: EditorState; width: number; unit: number }) {
  const drawing = state.drawing.value;
  if (!drawing) return null;
  const spots = drawing.points.map(([x, y]) => `${x * width},${y * HEIGHT}`).join(" ");
  return (
    <g class="edit-drawn">
      <polyline class="edit-outline" points={spots} />
      {drawing.points.map(([x, y], index) => (
        <g key={index} transform={`translate(${x * width} ${y * HEIGHT})`}>
          <circle class="edit-dot" r={7 * unit} stroke-width={2 * unit} />
        </g>
      ))}
    </g>
  );
}

const NEAR_FIRST = 0.025;

function addPoint(state: EditorState, point: XY): void {
  const drawing = state.drawing.value;
  if (!drawing) return;
  const [first] = drawing.points;
  const isClosing =
    drawing.points.length >= 3 &&
    first !== undefined &&
    Math.hypot(first[0] - point[0], first[1] - point[1]) < NEAR_FIRST / state.view.value.zoom;
  const points = isClosing ? drawing.points : [...drawing.points, point];
  state.drawing.value = { ...drawing, points };
  if (isClosing || (drawing.kind === "line" && points.length === 2)) finishDrawing(state);
}

const DEFAULTS: Record<ShapeName["kind"], XY[]> = {
  line: [
    [0.5, 0.8],
    [0.5, 0.2],
  ],
  zone: [
    [0.35, 0.35],
    [0.65, 0.35],
    [0.65, 0.65],
    [0.35, 0.65],
  ],
  mask: [
    [0.4, 0.4],
    [0.6, 0.4],
    [0.6, 0.6],
    [0.4, 0.6],
  ],
};

/** Make a shape of what was drawn; one in the middle where nothing was, to be moved by keys. */
export function finishDrawing(state: EditorState): void {
  const drawing = state.drawing.value;
  if (!drawing) return;
  const { kind } = drawing;
  const enough = kind === "line" ? 2 : 3;
  if (drawing.points.length > 0 && drawing.points.length < enough) return;
  const points = drawing.points.length ? drawing.points : DEFAULTS[kind];
  if (kind !== "line" && crossesItself(points)) {
    state.said.value = t("edit.crosses_itself");
    return;
  }
  const { draft } = state;
  const name =
    kind === "mask"
      ? String(draft.value.masks.length)
      : freeName(kind, kind === "line" ? draft.value.lines : draft.value.zones);
  const shape = { kind, name };
  state.drawing.value = null;
  state.change(withPoints(draft.value, shape, points));
  state.selected.value = shape;
}

/** What is under the finger, larger, beside it. */
function Loupe({ state, at, x, y }: { state: EditorState; at: XY; x: number; y: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    const stage = canvas.current?.parentElement;
    if (!context || !stage) return;
    const zoom = state.view.value.zoom * LOUPE_ZOOM;
    const whole: XY = [stage.clientWidth, stage.clientHeight];
    const half = LOUPE_PX / 2 / zoom;
    const corner = { x: at[0] - half / whole[0], y: at[1] - half / whole[1], zoom };
    draw(context, [LOUPE_PX, LOUPE_PX], whole, state, corner);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    const [near, middleOf, far] = [0.3, 0.5, 0.7].map((share) => share * LOUPE_PX);
    context.beginPath();
    context.moveTo(middleOf ?? 0, near ?? 0);
    context.lineTo(middleOf ?? 0, far ?? 0);
    context.moveTo(near ?? 0, middleOf ?? 0);
    context.lineTo(far ?? 0, middleOf ?? 0);
    context.stroke();
  });
  const above = y > LOUPE_PX + 40;
  return (
    <canvas
      ref={canvas}
      class="edit-loupe"
      width={LOUPE_PX}
      height={LOUPE_PX}
      aria-hidden="true"
      style={{
        left: `${Math.max(0, x - LOUPE_PX / 2)}px`,
        top: `${above ? y - LOUPE_PX - 32 : y + 40}px`,
      }}
    />
  );
}
