/** Spans of time as they are chosen, and as they stand in an address. */

import type { Preset, Span } from "../app/times.ts";

/** A preset stays one: today is another day tomorrow. */
export type Range = Preset | Span;

/** For an address: `week`, or `SINCE-UNTIL`. */
export function rangeToText(range: Range): string {
  return typeof range === "string" ? range : `${range.since}-${range.until}`;
}

/** Of an address; `otherwise` where it says nothing that can be used. */
export function rangeFromText(text: string | null, otherwise: Range): Range {
  if (text === "today" || text === "yesterday" || text === "week" || text === "month") return text;
  const found = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(text ?? "");
  const [since, until] = [Number(found?.[1]), Number(found?.[2])];
  return since < until ? { since, until } : otherwise;
}
