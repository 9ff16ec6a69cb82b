/** Sizes and times as people say them. */

import { number, t, tn } from "../../app/language.ts";

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Such as 1.2 GB; of 1000. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${number(value, unit > 0 && value < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

/** How long a disk lasts: in days, and years where nobody counts days. */
export function daysText(days: number): string {
  if (days > 3650) return t("health.years");
  return tn("health.days", Math.floor(days));
}

/** Seconds with as many digits as matter: 0.42 s, 3.1 s, 45 s, 2 min. */
export function shortTime(seconds: number): string {
  if (seconds < 1) return `${number(seconds, 2)} s`;
  if (seconds < 10) return `${number(seconds, 1)} s`;
  if (seconds < 120) return `${number(seconds)} s`;
  if (seconds < 7200) return `${number(seconds / 60)} min`;
  if (seconds < 172_800) return `${number(seconds / 3600)} h`;
  return tn("health.days", Math.floor(seconds / 86_400));
}
