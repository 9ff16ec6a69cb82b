/** Words for measures, rule types and shares that several views use. */

import { addTexts, number, percent, t, tn } from "../../app/language.ts";

export const words = {
  en: {
    "measure.entered": "in",
    "measure.left": "out",
    "measure.net": "net",
    "measure.groups_in": "groups in",
    "measure.groups_out": "groups out",
    "measure.staff_in": "staff in",
    "measure.staff_out": "staff out",
    "measure.net_in": "in without staff",
    "measure.net_out": "out without staff",
    "measure.mean": "on average",
    "measure.maximum": "at most",
    "measure.served": "served",
    "measure.abandoned": "gave up",
    "measure.joined": "joined",
    "measure.censored": "end not seen",
    "measure.mean_wait_s": "mean wait",
    "measure.median_wait_s": "median wait",
    "measure.p90_wait_s": "9 of 10 wait at most",
    "measure.median_stay_s": "median stay",
    "measure.p90_stay_s": "9 of 10 stay at most",
    "measure.parked": "parked",
    "measure.passed": "passed",
    "measure.fastest": "fastest",
    "measure.absences": "absences",
    "measure.empty": "empty",
    "measure.removed": "removed",
    "measure.person_s": "time of all",
    "measure.staff_entered": "of these staff",
    "measure.visits.entered": "visits",
    "measure.visits.left": "visits ended",
    "type.line_crossing": "Line",
    "type.occupancy": "Occupancy",
    "type.dwell": "Visits",
    "type.queue": "Queue",
    "type.heat_map": "Heat map",
    "type.crowding": "Groups",
    "type.parking": "Parking",
    "type.speed": "Speed",
    "type.absence": "Absence",
    "type.count": "Count",
    "type.left_object": "Things left behind",
    "type.removed_object": "Things taken away",
    "share.known": "known for {percent} of the time",
    "before.month": "month before",
    "before.weeks.one": "week before",
    "before.weeks.other": "{n} weeks before",
    "share.known_open": "known for {percent} of opening time",
    "share.unknown": "unknown",
    "share.missing": "{duration} unknown",
    "share.least": "at least {value}",
    "audit.checked": "checked {day}: {value} ± {margin}",
    "audit.unknown": "checked {day}: too little to tell",
    "audit.of": "{judged} clips counted by hand by {by}",
    "audit.somebody": "somebody",
  },
  de: {
    "measure.entered": "rein",
    "measure.left": "raus",
    "measure.net": "Saldo",
    "measure.groups_in": "Gruppen rein",
    "measure.groups_out": "Gruppen raus",
    "measure.staff_in": "Personal rein",
    "measure.staff_out": "Personal raus",
    "measure.net_in": "rein ohne Personal",
    "measure.net_out": "raus ohne Personal",
    "measure.mean": "im Mittel",
    "measure.maximum": "höchstens",
    "measure.served": "bedient",
    "measure.abandoned": "aufgegeben",
    "measure.joined": "angestellt",
    "measure.censored": "Ende nicht gesehen",
    "measure.mean_wait_s": "mittlere Wartezeit",
    "measure.median_wait_s": "Wartezeit (Median)",
    "measure.p90_wait_s": "9 von 10 warten höchstens",
    "measure.median_stay_s": "Verweildauer (Median)",
    "measure.p90_stay_s": "9 von 10 bleiben höchstens",
    "measure.parked": "abgestellt",
    "measure.passed": "vorbeigefahren",
    "measure.fastest": "am schnellsten",
    "measure.absences": "Abwesenheiten",
    "measure.empty": "leer",
    "measure.removed": "weggenommen",
    "measure.person_s": "Zeit aller",
    "measure.staff_entered": "davon Personal",
    "measure.visits.entered": "Besuche",
    "measure.visits.left": "beendete Besuche",
    "type.line_crossing": "Linie",
    "type.occupancy": "Belegung",
    "type.dwell": "Besuche",
    "type.queue": "Warteschlange",
    "type.heat_map": "Wärmekarte",
    "type.crowding": "Gruppen",
    "type.parking": "Parken",
    "type.speed": "Tempo",
    "type.absence": "Abwesenheit",
    "type.count": "Anzahl",
    "type.left_object": "Liegengelassenes",
    "type.removed_object": "Weggenommenes",
    "share.known": "{percent} der Zeit bekannt",
    "before.month": "Monat davor",
    "before.weeks.one": "Woche davor",
    "before.weeks.other": "{n} Wochen davor",
    "share.known_open": "{percent} der Öffnungszeit bekannt",
    "share.unknown": "unbekannt",
    "share.missing": "{duration} unbekannt",
    "share.least": "mindestens {value}",
    "audit.checked": "geprüft am {day}: {value} ± {margin}",
    "audit.unknown": "geprüft am {day}: zu wenig für eine Aussage",
    "audit.of": "{judged} Clips von Hand gezählt von {by}",
    "audit.somebody": "jemandem",
  },
};

// For every view that uses these words, whichever is opened first.
addTexts(words);

/** What a measure is called: by its name, else as the rule calls it. */
export function measureName(one: { name: string; heading: string; unit: string }): string {
  for (const key of [`measure.${one.unit}.${one.name}`, `measure.${one.name}`]) {
    const found = t(key);
    if (found !== key) return found;
  }
  return one.heading.replaceAll("_", " ");
}

/** What the time is called that numbers stand beside: week before, 2 weeks before, month before. */
export function beforeText({ before }: { before?: { weeks: number | null } | null }): string {
  if (!before) return "";
  return before.weeks === null ? t("before.month") : tn("before.weeks", before.weeks);
}

/** What a type of rule is called. */
export function typeName(type: string): string {
  const key = `type.${type}`;
  const found = t(key);
  return found === key ? type.replaceAll("_", " ") : found;
}

/** Of these a number stands for itself; of less it is pale, and a sum is at least that. */
export const ENOUGH = 0.9;

interface Written {
  decimals: number;
  suffix: string;
  unit?: string;
  over_time?: string;
}

/** A number as its measure writes it; an en dash where it is not known. */
export function valueText(value: number | null | undefined, how: Written): string {
  if (value === null || value === undefined) return "–";
  const isTime = how.unit === "seconds" || how.suffix.trim() === "s";
  if (isTime) return secondsText(value);
  if (how.unit === "share of the time" && !how.suffix) return percent(value, 0);
  return number(value, digitsOf(value, how)) + how.suffix;
}

function digitsOf(value: number, how: Written): number {
  if (how.decimals || Number.isInteger(value)) return how.decimals;
  return how.over_time === "mean" ? 1 : 0;
}

/** A number of which some is not known, for who hears it. */
export function leastText(value: string): string {
  return t("share.least", { value });
}

/** What is said where a number is not known. */
export function unknownText(): string {
  return t("share.unknown");
}

/** Seconds as people say them: 45 s, 2:05 min, 1:40 h. */
export function secondsText(value: number): string {
  const whole = Math.round(value);
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 60) return `${number(whole)} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  return `${number(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)} h`;
}

/** A share, never rounded up to all of it. */
export function shareText(share: number): string {
  const cut = Math.floor(share * 1000 + 1e-9) / 1000;
  const digits = cut === 1 || cut === 0 || Number.isInteger(cut * 100) ? 0 : 1;
  return percent(cut, digits);
}

/** By which share something changed, with its sign: +12 %. */
export function changeText(change: number): string {
  const text = percent(Math.abs(change), Math.abs(change) < 0.1 ? 1 : 0);
  return change > 0 ? `+${text}` : change < 0 ? `−${text}` : `±${text}`;
}

/** Minutes as people say them. */
export function minutesText(minutes: number): string {
  const whole = Math.max(1, Math.round(minutes));
  if (whole < 60) return `${number(whole)} min`;
  const rest = whole % 60;
  return rest ? `${Math.floor(whole / 60)} h ${rest} min` : `${Math.floor(whole / 60)} h`;
}
