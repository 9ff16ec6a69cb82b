/** Moments in words: UTC seconds, shown in the zone of a site, with a 24-hour clock. */

import { locale, number } from "./language.ts";

type Parts = Intl.DateTimeFormatOptions;
const formats = new Map<string, Intl.DateTimeFormat>();

function format(seconds: number, timezone: string, parts: Parts): string {
  const key = `${locale.value} ${timezone} ${JSON.stringify(parts)}`;
  let found = formats.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(locale.value, {
      ...parts,
      timeZone: timezone,
      hourCycle: parts.hour ? "h23" : undefined,
    });
    formats.set(key, found);
  }
  return found.format(seconds * 1000);
}

/** Such as 14:05. */
export function clock(seconds: number, timezone: string): string {
  return format(seconds, timezone, { hour: "2-digit", minute: "2-digit" });
}

/** Such as 14:05:09. */
export function clockSeconds(seconds: number, timezone: string): string {
  return format(seconds, timezone, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** Such as Fri, 27 Nov 2026. */
export function date(seconds: number, timezone: string): string {
  return format(seconds, timezone, {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
  });
}

/** Such as Fri, 27 Nov. */
export function day(seconds: number, timezone: string): string {
  return format(seconds, timezone, { weekday: "short", day: "numeric", month: "short" });
}

/** Date and time, such as Fri, 27 Nov, 14:05. */
export function moment(seconds: number, timezone: string): string {
  return format(seconds, timezone, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** How long something takes, in its two largest units: 1 h 20 min, 45 s, 0.4 s. */
export function duration(seconds: number): string {
  if (seconds < 10 && !Number.isInteger(seconds)) return `${number(seconds, 1)} s`;
  const whole = Math.round(seconds);
  const units = [
    ["d", Math.floor(whole / 86_400)],
    ["h", Math.floor(whole / 3_600) % 24],
    ["min", Math.floor(whole / 60) % 60],
    ["s", whole % 60],
  ] as const;
  const first = units.findIndex(([, count]) => count > 0);
  if (first < 0) return "0 s";
  return units
    .slice(first, first + 2)
    .filter(([, count]) => count > 0)
    .map(([unit, count]) => `${count} ${unit}`)
    .join(" ");
}

/** The start of the day in a zone that holds this moment, or of one so many days later. */
export function startOfDay(seconds: number, timezone: string, later = 0): number {
  const [year, month, dayOfMonth] = datePartsOf(seconds, timezone);
  return momentOf(year, month, dayOfMonth + later, 0, 0, timezone);
}

/** UTC seconds of a wall-clock time in a zone; of one that a clock change skips, the next. */
export function momentOf(
  year: number,
  month: number,
  dayOfMonth: number,
  hour: number,
  minute: number,
  timezone: string,
): number {
  const wall = Date.UTC(year, month - 1, dayOfMonth, hour, minute) / 1000;
  const first = wall - offsetAt(wall, timezone);
  return wall - offsetAt(first, timezone);
}

/** Seconds that the clocks of a zone are ahead of UTC. */
export function offsetAt(seconds: number, timezone: string): number {
  const [year, month, dayOfMonth, hour, minute, second] = datePartsOf(seconds, timezone);
  const wall = Date.UTC(year, month - 1, dayOfMonth, hour, minute, second) / 1000;
  return wall - Math.floor(seconds);
}

/** For `<input type="datetime-local">`: such as 2026-11-27T14:05, in the zone. */
export function inputValue(seconds: number, timezone: string): string {
  const [year, month, dayOfMonth, hour, minute] = datePartsOf(seconds, timezone);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${year}-${two(month)}-${two(dayOfMonth)}T${two(hour)}:${two(minute)}`;
}

/** The moment of such a value; null if it is none. */
export function fromInput(value: string, timezone: string): number | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)/.exec(value);
  if (!found) return null;
  const [year, month, dayOfMonth, hour, minute] = found.slice(1).map(Number) as Wall;
  return momentOf(year, month, dayOfMonth, hour, minute, timezone);
}

type Wall = [number, number, number, number, number, number];

const wallClocks = new Map<string, Intl.DateTimeFormat>();

function datePartsOf(seconds: number, timezone: string): Wall {
  let found = wallClocks.get(timezone);
  if (!found) {
    found = new Intl.DateTimeFormat("en-GB", {
      timeZone: timezone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    wallClocks.set(timezone, found);
  }
  const parts = new Map(found.formatToParts(seconds * 1000).map((p) => [p.type, Number(p.value)]));
  const names = ["year", "month", "day", "hour", "minute", "second"] as const;
  return names.map((name) => parts.get(name) ?? 0) as Wall;
}

export type Preset = "today" | "yesterday" | "week" | "month";

/** From and until (excluded), in UTC seconds. */
export interface Span {
  since: number;
  until: number;
}

/** The span of a preset at this moment: whole days of the zone. */
export function spanOf(preset: Preset, now: number, timezone: string): Span {
  const tomorrow = startOfDay(now, timezone, 1);
  const today = startOfDay(now, timezone);
  switch (preset) {
    case "today":
      return { since: today, until: tomorrow };
    case "yesterday":
      return { since: startOfDay(now, timezone, -1), until: today };
    case "week":
      return { since: startOfDay(now, timezone, -6), until: tomorrow };
    case "month":
      return { since: startOfDay(now, timezone, -29), until: tomorrow };
  }
}
