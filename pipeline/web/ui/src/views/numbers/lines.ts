/** Which lines a chart has: several numbers of one rule, or one number of several rules or sites. */

import type { components } from "../../api/schema.d.ts";

type Answer = components["schemas"]["NumbersAnswer"];
type RuleSeries = components["schemas"]["RuleSeries"];
type Measure = components["schemas"]["MeasureSeries"];
type Grid = components["schemas"]["SiteGrid"];

export interface Span {
  since: number;
  until: number;
}

export interface Line {
  key: string;
  /** The rule, camera/rule, or the site. */
  of: string;
  measure: Pick<Measure, "name" | "heading" | "unit" | "decimals" | "suffix" | "over_time">;
  values: readonly (number | null)[];
  total: number | null;
}

/** Numbers of a kind, which one scale can show. */
export interface Group {
  key: string;
  /** Such as crossings, people or seconds. */
  unit: string;
  measures: readonly string[];
}

export function nameOf(one: { camera: string; rule: string }): string {
  return `${one.camera}/${one.rule}`;
}

/** Measures of one unit and one way of adding up belong together; `in` and `out`, but not a mean. */
export function groupOf(measure: Measure): string {
  const isLevel = measure.over_time !== "sum" && measure.over_time !== "derived";
  const isTime = measure.unit === "seconds" || measure.suffix.trim() === "s";
  return `${isTime ? "seconds" : measure.unit}${isLevel ? " level" : ""}`;
}

export function groupsOf(answer: Answer): Group[] {
  const found = new Map<string, { unit: string; measures: string[] }>();
  for (const rule of answer.series) {
    for (const measure of rule.measures) {
      const key = groupOf(measure);
      const group = found.get(key) ?? { unit: measure.unit, measures: [] };
      if (!group.measures.includes(measure.name)) group.measures.push(measure.name);
      found.set(key, group);
    }
  }
  return [...found].map(([key, group]) => ({ key, ...group }));
}

/** The lines of a group: all of one rule's numbers, or the chosen number of each rule. */
export function linesOf(answer: Answer, group: Group, chosen: string): Line[] {
  const rules = answer.series.filter((rule) => rule.measures.some((one) => groupOf(one) === group.key));
  const isOne = rules.length === 1;
  return rules.flatMap((rule) =>
    rule.measures
      .filter((one) => groupOf(one) === group.key && (isOne || one.name === chosen))
      .map((measure) => ({
        key: `${nameOf(rule)} ${measure.name}`,
        of: nameOf(rule),
        measure,
        values: onGrid(answer, rule, measure.values),
        total: measure.total,
      })),
  );
}

/** The sums of a number by site. */
export function siteLinesOf(answer: Answer, group: Group, chosen: string): Line[] {
  return answer.sums
    .filter((one) => one.name === chosen && one.unit === group.unit)
    .map((one) => ({
      key: `${one.site} ${one.name}`,
      of: one.site,
      measure: {
        name: one.name,
        heading: one.heading,
        unit: one.unit,
        decimals: 0,
        suffix: "",
        over_time: "sum",
      },
      values: spread(answer, one.site, one.values),
      total: one.total,
    }));
}

function gridOf(answer: Answer, site: string): Grid | undefined {
  return answer.sites.find((one) => one.site === site);
}

/** The steps that all lines share: those of the first site, as far as time has come. */
export function stepsOf(answer: Answer): Span[] {
  const steps = answer.sites[0]?.steps ?? [];
  return steps.filter((step) => step.since < answer.now);
}

function onGrid(answer: Answer, rule: RuleSeries, values: readonly (number | null)[]) {
  return spread(answer, rule.site, values);
}

/** Values of a site on the shared steps; a site of another time zone has other days. */
function spread(answer: Answer, site: string, values: readonly (number | null)[]) {
  const own = gridOf(answer, site)?.steps ?? [];
  const shared = stepsOf(answer);
  if (own.length > 0 && own[0]?.since === shared[0]?.since) return values.slice(0, shared.length);
  const by = new Map(own.map((step, index) => [nearest(shared, step.since), values[index] ?? null]));
  return shared.map((step) => by.get(step.since) ?? null);
}

/** Of less than this share no sum is reckoned up to the whole. */
export const LEAST_KNOWN = 0.5;
/** Of more than this there is nothing to reckon. */
const ALL_KNOWN = 0.995;

/**
 * What a sum would be if its gaps were like the rest: what each rule counted, by the share of its
 * time that is known. Null where it is no sum, has no gaps, or too little of a rule is known.
 */
export function extrapolated(line: Line, rules: readonly RuleSeries[]): number | null {
  if (line.measure.over_time !== "sum" || !line.total) return null;
  const parts = rules.flatMap((rule) => {
    const own = rule.measures.find(
      (one) => one.name === line.measure.name && one.unit === line.measure.unit,
    );
    return own ? [{ total: own.total, known: Math.min(1, rule.known) }] : [];
  });
  if (parts.length === 0 || parts.every((one) => one.known >= ALL_KNOWN)) return null;
  if (parts.some((one) => one.total === null || one.known < LEAST_KNOWN)) return null;
  // Not of other rules than those that the sum is of.
  const counted = parts.reduce((sum, one) => sum + (one.total ?? 0), 0);
  if (Math.abs(counted - line.total) > 1e-6 * Math.max(1, line.total)) return null;
  return parts.reduce((sum, one) => sum + (one.total ?? 0) / one.known, 0);
}

/** A rate of a site per hundred, such as sales of those who came in, on the shared steps. */
export function rateOnGrid(answer: Answer, site: string, rate: readonly (number | null)[]) {
  return spread(answer, site, rate).map((value) => (value === null ? null : value * 100));
}

/** Open steps of which too little is known of one of a site's rules, chosen or not. */
export function unknownOf(
  answer: Answer,
  site: string,
  known: readonly (number | null)[],
  enough: number,
): Span[] {
  const shares = spread(answer, site, known);
  return stepsOf(answer)
    .filter((_, index) => (shares[index] ?? 1) < enough)
    .map((step) => ({ since: step.since, until: Math.min(step.until, answer.now) }));
}

function nearest(steps: readonly Span[], at: number): number {
  let found = steps[0]?.since ?? 0;
  for (const step of steps) if (Math.abs(step.since - at) < Math.abs(found - at)) found = step.since;
  return found;
}

/** The share of each step that is known, of the rule of which the least is. */
export function knownShares(answer: Answer): number[] {
  return stepsOf(answer).map((_, index) =>
    Math.min(
      1,
      ...answer.series.map((rule) => {
        const minutes = gridOf(answer, rule.site)?.steps[index]?.minutes ?? 0;
        return minutes > 0 ? (rule.minutes_known[index] ?? 0) / minutes : 1;
      }),
    ),
  );
}

/** A number of the time before, on the steps of the time shown: unknown where too little is known. */
export function lineBefore(answer: Answer, line: Line, enough: number): Line | null {
  const before = answer.before;
  if (!before) return null;
  const earlier = { ...answer, series: before.series, sums: before.sums };
  const [lines, named] = [
    before.series.flatMap((rule) =>
      rule.measures.map((measure) => ({
        key: `${nameOf(rule)} ${measure.name}`,
        rules: [rule],
        values: onGrid(earlier, rule, measure.values),
        total: measure.total,
      })),
    ),
    before.sums.map((sum) => ({
      key: `${sum.site} ${sum.name}`,
      rules: before.series.filter((rule) => rule.site === sum.site),
      values: spread(earlier, sum.site, sum.values),
      total: sum.total,
    })),
  ];
  const found = [...lines, ...named].find((one) => one.key === line.key);
  if (!found) return null;
  const shares = sharesBefore(answer, found.rules);
  return {
    ...line,
    key: `${line.key} before`,
    values: found.values.map((value, index) => ((shares[index] ?? 0) >= enough ? value : null)),
    total: found.total,
  };
}

/** The share of each step before that is known of rules; null where there was no such step. */
export function sharesBefore(
  answer: Answer,
  rules: readonly RuleSeries[] = answer.before?.series ?? [],
): (number | null)[] {
  const grids = answer.before?.sites ?? [];
  return stepsOf(answer).map((_, index) => {
    const shares = rules.flatMap((rule) => {
      const minutes = grids.find((one) => one.site === rule.site)?.steps[index]?.minutes ?? 0;
      return minutes > 0 ? [(rule.minutes_known[index] ?? 0) / minutes] : [];
    });
    return shares.length > 0 ? Math.min(1, ...shares) : null;
  });
}

/** Steps of which too little is known, neighbours in one. */
export function unknownSpans(answer: Answer, enough: number): Span[] {
  const shares = knownShares(answer);
  const closed = closedSpans(answer);
  const found: Span[] = [];
  stepsOf(answer).forEach((step, index) => {
    if ((shares[index] ?? 0) >= enough) return;
    const until = Math.min(step.until, answer.now);
    if (closed.some((one) => one.since <= step.since && until <= one.until)) return;
    const last = found.at(-1);
    if (last && last.until === step.since) last.until = until;
    else found.push({ since: step.since, until });
  });
  return found;
}

/** When the first site is closed, where it says when it is open. */
export function closedSpans(answer: Answer): Span[] {
  const grid = answer.sites[0];
  if (!grid || !grid.has_hours) return [];
  const end = Math.min(answer.until, answer.now);
  const found: Span[] = [];
  let at = grid.steps[0]?.since ?? answer.since;
  const open = grid.days.flatMap((day) => day.openings).sort((a, b) => a.since - b.since);
  if (grid.days.length === 0) return [];
  for (const opening of open) {
    if (opening.until <= at) continue;
    if (opening.since > at) found.push({ since: at, until: Math.min(opening.since, end) });
    at = opening.until;
    if (at >= end) break;
  }
  if (at < end) found.push({ since: at, until: end });
  return found.filter((one) => one.since < one.until);
}
