/** The limits of rules for which it can be told how many events other limits would give. */

import type { Settings } from "./model.ts";

export type Unit = "s" | "number" | "km/h";

export interface Mark {
  limit: number;
  events: number;
}

/** By type of rule, in the order in which they are shown. */
const LIMITS: Record<string, readonly string[]> = {
  dwell: ["longer_than"],
  queue: ["longer_than", "more_than", "for"],
  occupancy: ["more_than", "fewer_than", "for"],
  count: ["more_than", "fewer_than", "for"],
  crowding: ["more_than", "for"],
  absence: ["for"],
  condition: ["for"],
  parking: ["longer_than"],
  left_object: ["longer_than"],
  speed: ["over"],
};

/** What cannot be told from how long each visit lasted alone. */
const BESIDE = ["cooldown", "schedule", "when", "min_coverage", "staff"] as const;

/** Whether the events at any limit follow from how long the visits lasted. */
export function isBySeconds(kind: string, settings: Settings): boolean {
  return kind === "dwell" && BESIDE.every((key) => settings[key] === undefined);
}

/** The fields of a rule that are limits and are set. */
export function limitsOf(kind: string, settings: Settings): string[] {
  if (isBySeconds(kind, settings)) return [];
  return (LIMITS[kind] ?? []).filter((key) => settings[key] !== undefined && settings[key] !== null);
}

/** A limit as the file has it. */
export function writtenLimit(limit: number, unit: Unit): string | number {
  if (unit !== "s") return limit;
  return Number.isInteger(limit) ? `${limit}s` : `${Math.round(limit * 1000)}ms`;
}

/** The place of a limit among the marks; -1 where it is none of them. */
export function placeOf(marks: readonly Mark[], limit: number | null): number {
  return marks.findIndex((one) => limit !== null && Math.abs(one.limit - limit) < 1e-6);
}

/** How many events lie between each mark and the next one, as far as more of it means fewer. */
export function bars(marks: readonly Mark[]): number[] {
  const most = Math.max(1, ...marks.map((one) => one.events));
  return marks.map((one) => one.events / most);
}
