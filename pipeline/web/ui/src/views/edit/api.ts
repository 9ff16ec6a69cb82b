/** The API of the editor: what there is, and the stream of what an edit would have counted. */

import { call, get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import type { Draft } from "./model.ts";

export type Preview = components["schemas"]["EditPreview"];
export type Saved = components["schemas"]["SavedEdit"];
export type Reply = components["schemas"]["ReloadReply"];
export type Problem = components["schemas"]["EditProblem"];
export type Forms = components["schemas"]["SettingsForms"];
export type Form = components["schemas"]["SettingsForm"];
export type FormField = components["schemas"]["FormField"];
export type Days = components["schemas"]["KnownSpans"];
export type Trails = components["schemas"]["Trails"];
export type Trail = components["schemas"]["TrailOut"];
export type Heat = components["schemas"]["HeatGridOut"];
export type Histogram = components["schemas"]["VisitHistogram"];

export interface Figures {
  known_s: number | null;
  happenings: number;
  values: Record<string, number | null>;
}

export interface WouldBeEvent {
  id: string;
  at: number;
  phase: string;
  track: number | null;
  box: [number, number, number, number] | null;
  direction: string | null;
  seconds: number | null;
  against: "new" | "same" | "gone";
}

export interface RuleResult {
  rule: string;
  type: string | null;
  unknown: string | null;
  simulated: Figures | null;
  stored: Figures | null;
  difference: Record<string, number | null>;
  new_events: number;
  gone_events: number;
}

export interface HourRow {
  kind: "hour";
  at: number;
  ends_at: number;
  notes: string[];
  rules: (RuleResult & { events: WouldBeEvent[]; gone: WouldBeEvent[] })[];
}

/** How right a count is, by what persons said of its events. */
export interface SideOfTruth {
  right: number;
  wrong: number;
  missed: number;
  precision: number | null;
  recall: number | null;
  error: number | null;
}

export interface RuleTruth {
  rule: string;
  labelled: number;
  reviewed: number;
  stored: number;
  missed: number;
  partly: boolean;
  now: SideOfTruth;
  would_be: SideOfTruth;
}

export type SimulationRow =
  | { kind: "begin"; since: number; until: number; timezone: string }
  | HourRow
  | { kind: "end"; totals: RuleResult[]; hours: number; cut_short: string | null }
  | { kind: "truth"; rules: RuleTruth[] }
  | { kind: "failed"; message: string };

export interface SimulationAsked extends Partial<Draft> {
  camera: string;
  since?: number;
  until?: number;
  only: string[];
}

const STREAM_MS = 90_000;

/** Ask what an edit would have counted; `row` is called with each line as it comes. */
export async function simulate(
  asked: SimulationAsked,
  row: (one: SimulationRow) => void,
  signal: AbortSignal,
): Promise<void> {
  const response = await call("POST", "/simulate", asked, { signal, deadlineMs: STREAM_MS });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (reader) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) row(JSON.parse(line) as SimulationRow);
  }
}

export interface Picture {
  bitmap: ImageBitmap;
  at: number;
  remark: string;
}

const PICTURE_MS = 60_000;

export async function picture(
  camera: string,
  at: number | null,
  signal: AbortSignal,
): Promise<Picture> {
  const query = at === null ? "" : `?at=${at}`;
  const path = `/cameras/${encodeURIComponent(camera)}/background${query}`;
  const response = await call("GET", path, undefined, { signal, deadlineMs: PICTURE_MS });
  const bitmap = await createImageBitmap(await response.blob());
  return {
    bitmap,
    at: Number(response.headers.get("X-Moonwatch-At")),
    remark: response.headers.get("X-Moonwatch-Remark") ?? "",
  };
}

export function trails(
  camera: string,
  since: number,
  until: number,
  signal?: AbortSignal,
): Promise<Trails> {
  return get(`/cameras/${encodeURIComponent(camera)}/trails`, { since, until }, { signal });
}

export function heat(
  camera: string,
  since: number,
  until: number,
  signal?: AbortSignal,
): Promise<Heat> {
  return get(`/cameras/${encodeURIComponent(camera)}/heat`, { since, until }, { signal });
}
