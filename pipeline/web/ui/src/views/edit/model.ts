/** What is edited of a camera, with every step kept so that it can be taken back. */

import type { components } from "../../api/schema.d.ts";
import { moved, placed, withInserted, type XY } from "./geometry.ts";

export type Editable = components["schemas"]["EditableCamera"];
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Settings = { [key: string]: Json };

export interface LineShape {
  from: XY;
  to: XY;
}

export interface ZoneShape {
  polygon: XY[];
}

export interface Draft {
  lines: Record<string, LineShape>;
  zones: Record<string, ZoneShape>;
  masks: XY[][];
  rules: Record<string, Settings>;
  tasks: Record<string, Settings>;
}

export type ShapeKind = "line" | "zone" | "mask";

/** A line, zone or mask; masks are called by their number. */
export interface ShapeName {
  kind: ShapeKind;
  name: string;
}

export const PARTS = ["lines", "zones", "masks", "rules", "tasks"] as const;

export function draftOf(editable: Editable): Draft {
  const { lines, zones, masks, rules, tasks } = editable;
  return structuredClone({ lines, zones, masks, rules, tasks }) as unknown as Draft;
}

function isPoint(value: unknown): value is XY {
  return Array.isArray(value) && value.length === 2 && value.every((one) => typeof one === "number");
}

/** The points of a shape; null where the file says them in another way, such as by a variable. */
export function pointsOf(draft: Draft, { kind, name }: ShapeName): XY[] | null {
  let points: unknown;
  if (kind === "line") {
    const line = draft.lines[name];
    points = line && [line.from, line.to];
  } else if (kind === "zone") points = draft.zones[name]?.polygon;
  else points = draft.masks[Number(name)];
  return Array.isArray(points) && points.every(isPoint) ? points : null;
}

export function shapesOf(draft: Draft): ShapeName[] {
  return [
    ...draft.masks.map((_, index) => ({ kind: "mask", name: String(index) }) as const),
    ...Object.keys(draft.zones).map((name) => ({ kind: "zone", name }) as const),
    ...Object.keys(draft.lines).map((name) => ({ kind: "line", name }) as const),
  ];
}

export function withPoints(draft: Draft, shape: ShapeName, points: readonly XY[]): Draft {
  const all = points.map(placed);
  const { kind, name } = shape;
  if (kind === "line") {
    const [from, to] = all;
    return from && to ? { ...draft, lines: { ...draft.lines, [name]: { from, to } } } : draft;
  }
  if (kind === "zone") {
    return { ...draft, zones: { ...draft.zones, [name]: { polygon: all } } };
  }
  const masks = [...draft.masks];
  masks[Number(name)] = all;
  return { ...draft, masks };
}

export function withPoint(draft: Draft, shape: ShapeName, index: number, point: XY): Draft {
  const points = pointsOf(draft, shape);
  if (!points) return draft;
  return withPoints(
    draft,
    shape,
    points.map((one, place) => (place === index ? point : one)),
  );
}

export function withShapeMoved(draft: Draft, shape: ShapeName, dx: number, dy: number): Draft {
  const points = pointsOf(draft, shape);
  return points ? withPoints(draft, shape, moved(points, dx, dy)) : draft;
}

export function withPointInserted(draft: Draft, shape: ShapeName, index: number, at?: XY): Draft {
  const points = pointsOf(draft, shape);
  return points && shape.kind !== "line"
    ? withPoints(draft, shape, withInserted(points, index, at))
    : draft;
}

/** Without a point; a polygon keeps at least three. */
export function withoutPoint(draft: Draft, shape: ShapeName, index: number): Draft {
  const points = pointsOf(draft, shape);
  if (!points || shape.kind === "line" || points.length <= 3) return draft;
  return withPoints(
    draft,
    shape,
    points.filter((_, place) => place !== index),
  );
}

export function withFlipped(draft: Draft, name: string): Draft {
  const line = draft.lines[name];
  if (!line) return draft;
  return { ...draft, lines: { ...draft.lines, [name]: { from: line.to, to: line.from } } };
}

function without<T>(all: Record<string, T>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(all).filter(([one]) => one !== name));
}

export function withoutShape(draft: Draft, { kind, name }: ShapeName): Draft {
  if (kind === "line") return { ...draft, lines: without(draft.lines, name) };
  if (kind === "zone") return { ...draft, zones: without(draft.zones, name) };
  return { ...draft, masks: draft.masks.filter((_, index) => String(index) !== name) };
}

export function withoutRule(draft: Draft, name: string): Draft {
  return { ...draft, rules: without(draft.rules, name) };
}

/** A name that is not used yet: line, line-2, line-3. */
export function freeName(base: string, used: Record<string, unknown>): string {
  let name = base;
  for (let number = 2; name in used; number += 1) name = `${base}-${number}`;
  return name;
}

/** The fields of a rule that name a line, a zone or a task. */
const NAMING = { line: ["line", "along"], zone: ["zone", "served"], task: ["of", "people"] } as const;

function namesIn(rule: Settings, kind: keyof typeof NAMING): string[] {
  return NAMING[kind].flatMap((key) => (key in rule ? [String(rule[key])] : []));
}

function withNamed(
  rules: Record<string, Settings>,
  keys: readonly string[],
  was: string,
  name: string,
): Record<string, Settings> {
  return Object.fromEntries(
    Object.entries(rules).map(([rule, settings]) => {
      const named = keys.filter((key) => settings[key] === was).map((key) => [key, name]);
      return [rule, named.length ? { ...settings, ...Object.fromEntries(named) } : settings];
    }),
  );
}

/** A task renamed, and in the rules that name it. */
export function withTaskRenamed(draft: Draft, was: string, name: string): Draft {
  const tasks = Object.entries(draft.tasks).map(([one, task]) => [one === was ? name : one, task]);
  return {
    ...draft,
    tasks: Object.fromEntries(tasks),
    rules: withNamed(draft.rules, NAMING.task, was, name),
  };
}

/** Renamed, and in the rules that name it. */
export function withRenamed(draft: Draft, shape: ShapeName, name: string): Draft {
  if (shape.kind === "mask" || name === shape.name) return draft;
  const part = shape.kind === "line" ? "lines" : "zones";
  const renamed = Object.fromEntries(
    Object.entries(draft[part]).map(([one, value]) => [one === shape.name ? name : one, value]),
  );
  const rules = withNamed(draft.rules, NAMING[shape.kind], shape.name, name);
  return { ...draft, [part]: renamed, rules };
}

export function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The parts that differ from what is in the file, as an edit names them. */
export function changedParts(draft: Draft, original: Draft): Partial<Draft> {
  return Object.fromEntries(
    PARTS.filter((part) => !isSame(draft[part], original[part])).map((part) => [part, draft[part]]),
  );
}

/** The rules that judge by something that differs from what is in the file. */
export function touchedRules(draft: Draft, original: Draft): string[] {
  return Object.keys(draft.rules).filter((name) => {
    const rule = draft.rules[name];
    if (!rule || !isSame(rule, original.rules[name])) return true;
    const differs = (kind: keyof typeof NAMING, part: "lines" | "zones" | "tasks") =>
      namesIn(rule, kind).some((one) => !isSame(draft[part][one], original[part][one]));
    return differs("line", "lines") || differs("zone", "zones") || differs("task", "tasks");
  });
}

/** The rules that name a line or zone. */
export function rulesOf(draft: Draft, shape: ShapeName): string[] {
  const { kind, name: wanted } = shape;
  if (kind === "mask") return [];
  return Object.entries(draft.rules)
    .filter(([, rule]) => namesIn(rule, kind).includes(wanted))
    .map(([name]) => name);
}

/** All steps: what was before, what is, and what was taken back. */
export interface Steps {
  past: readonly Draft[];
  now: Draft;
  future: readonly Draft[];
}

const MOST_STEPS = 200;

export function begun(draft: Draft): Steps {
  return { past: [], now: draft, future: [] };
}

export function stepped(steps: Steps, draft: Draft): Steps {
  if (isSame(draft, steps.now)) return steps;
  return { past: [...steps.past.slice(-MOST_STEPS), steps.now], now: draft, future: [] };
}

export function undone(steps: Steps): Steps {
  const before = steps.past.at(-1);
  if (!before) return steps;
  return { past: steps.past.slice(0, -1), now: before, future: [steps.now, ...steps.future] };
}

export function redone(steps: Steps): Steps {
  const [next, ...future] = steps.future;
  return next ? { past: [...steps.past, steps.now], now: next, future } : steps;
}
