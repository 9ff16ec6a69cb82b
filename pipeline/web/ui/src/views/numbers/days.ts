/** Days as texts, 2026-11-27, and what is reckoned with them. */

import { dayLater as dayAfter } from "../../parts/month.ts";

export { dayAfter };

/** How many days there are from the first to the last, both included. */
export function daysBetween(first: string, last: string): number {
  const span = Date.parse(`${last}T00:00:00Z`) - Date.parse(`${first}T00:00:00Z`);
  return Math.round(span / 86_400_000) + 1;
}

/** Whether a text is a day that exists. */
export function isDay(text: string | null): text is string {
  if (!text || !/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const at = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text);
}

export type PeriodKind = "day" | "week" | "month";

export interface Days {
  first: string;
  last: string;
}

/** The day, the week from Monday, or the month that holds a day. */
export function periodOf(kind: PeriodKind, day: string): Days {
  const at = new Date(`${day}T00:00:00Z`);
  if (kind === "day") return { first: day, last: day };
  if (kind === "week") {
    const first = dayAfter(day, -((at.getUTCDay() + 6) % 7));
    return { first, last: dayAfter(first, 6) };
  }
  const month = (later: number) =>
    new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + later, 1)).toISOString().slice(0, 10);
  return { first: month(0), last: dayAfter(month(1), -1) };
}

/** Which kind of period some days are; null for none of them. */
export function kindOf(days: Days): PeriodKind | null {
  const kinds: readonly PeriodKind[] = ["day", "week", "month"];
  return (
    kinds.find((kind) => {
      const whole = periodOf(kind, days.first);
      return whole.first === days.first && whole.last === days.last;
    }) ?? null
  );
}

/** The same length of time before or after: the month before, the week after. */
export function shifted(days: Days, way: 1 | -1): Days {
  const kind = kindOf(days);
  if (kind) return periodOf(kind, dayAfter(way > 0 ? days.last : days.first, way));
  const length = daysBetween(days.first, days.last) * way;
  return { first: dayAfter(days.first, length), last: dayAfter(days.last, length) };
}

/** A report of a period as the API names it: 2026-11-27, 2026-W48, 2026-11. */
export function periodName(kind: PeriodKind, first: string): string {
  if (kind === "day") return first;
  if (kind === "month") return first.slice(0, 7);
  // The year of a week is that of its Thursday.
  const thursday = dayAfter(first, 3);
  const year = thursday.slice(0, 4);
  const week = Math.floor((daysBetween(`${year}-01-01`, thursday) - 1) / 7) + 1;
  return `${year}-W${String(week).padStart(2, "0")}`;
}
