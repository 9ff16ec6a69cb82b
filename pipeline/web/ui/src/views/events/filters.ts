/** The filters of the list: in the address, so that a shared link shows the same. */

/** Which happenings by who has reviewed them. */
export type Shown = "open" | "all" | "reviewed";
export type VerdictFilter = "confirmed" | "rejected" | "not_checked";
export type SentFilter = "delivered" | "undelivered" | "waiting" | "refused";

export interface Filters {
  shown: Shown;
  camera: string[];
  rule: string[];
  type: string[];
  kind: string[];
  place: string[];
  direction: string[];
  weekday: string[];
  /** Such as 22-6. */
  hours: string;
  /** How probable at least, in percent. */
  least: number | null;
  verdict: VerdictFilter[];
  sent: SentFilter | null;
  wrong: boolean;
  text: string;
  /** When it began, in UTC seconds. */
  since: number | null;
  until: number | null;
}

export const LISTS = ["camera", "rule", "type", "kind", "place", "direction", "weekday"] as const;
export type ListName = (typeof LISTS)[number];
const SHOWN: readonly string[] = ["open", "all", "reviewed"];
const VERDICTS: readonly string[] = ["confirmed", "rejected", "not_checked"];
const SENT: readonly string[] = ["delivered", "undelivered", "waiting", "refused"];
export const HOURS = /^([01]?\d|2[0-4])(:[0-5]\d)?-([01]?\d|2[0-4])(:[0-5]\d)?$/;

/** What an address says; what it does not say, or says wrongly, narrows nothing. */
export function fromQuery(query: URLSearchParams, otherwise: Shown): Filters {
  const list = (name: string) => query.getAll(name).filter((value) => value !== "");
  const one = <T extends string>(name: string, known: readonly string[]): T | null => {
    const value = query.get(name);
    return value !== null && known.includes(value) ? (value as T) : null;
  };
  const moment = (name: string) => {
    const value = Number(query.get(name) ?? Number.NaN);
    return Number.isFinite(value) && query.get(name) !== "" ? value : null;
  };
  const least = Number(query.get("least") ?? Number.NaN);
  const hours = query.get("hours") ?? "";
  return {
    shown: one<Shown>("show", SHOWN) ?? otherwise,
    camera: list("camera"),
    rule: list("rule"),
    type: list("type"),
    kind: list("kind"),
    place: list("place"),
    direction: list("direction"),
    weekday: list("weekday"),
    hours: HOURS.test(hours) ? hours : "",
    least: least > 0 && least <= 100 ? least : null,
    verdict: list("verdict").filter((value): value is VerdictFilter => VERDICTS.includes(value)),
    sent: one<SentFilter>("sent", SENT),
    wrong: query.get("wrong") === "1",
    text: query.get("text") ?? "",
    since: moment("since"),
    until: moment("until"),
  };
}

/** For the address: everything that narrows, and nothing else. */
export function toQuery(filters: Filters, otherwise: Shown): URLSearchParams {
  const query = new URLSearchParams();
  if (filters.shown !== otherwise) query.set("show", filters.shown);
  for (const name of LISTS) for (const value of filters[name]) query.append(name, value);
  if (filters.hours) query.set("hours", filters.hours);
  if (filters.least !== null) query.set("least", String(filters.least));
  for (const value of filters.verdict) query.append("verdict", value);
  if (filters.sent) query.set("sent", filters.sent);
  if (filters.wrong) query.set("wrong", "1");
  if (filters.text) query.set("text", filters.text);
  if (filters.since !== null) query.set("since", String(filters.since));
  if (filters.until !== null) query.set("until", String(filters.until));
  return query;
}

type Parameters = Record<string, string | number | boolean | readonly string[] | null>;

/** What the API is asked; the timeline does so without the span of the list. */
export function toApi(filters: Filters, withSpan = true): Parameters {
  return {
    camera: filters.camera,
    rule: filters.rule,
    type: filters.type,
    kind: filters.kind,
    place: filters.place,
    direction: filters.direction,
    weekday: filters.weekday,
    hours: filters.hours || null,
    least: filters.least === null ? null : filters.least / 100,
    verdict: filters.verdict,
    reviewed: { open: false, all: null, reviewed: true }[filters.shown],
    sent: filters.sent,
    wrong: filters.wrong ? true : null,
    text: filters.text || null,
    since: withSpan ? filters.since : null,
    until: withSpan ? filters.until : null,
  };
}

/** The same with a name added to a list, or taken from it. */
export function toggled(filters: Filters, list: ListName, value: string): Filters {
  const before = filters[list];
  const after = before.includes(value)
    ? before.filter((one) => one !== value)
    : [...before, value];
  return { ...filters, [list]: after };
}

/** How many filters narrow the list, beside who has reviewed what. */
export function countOf(filters: Filters): number {
  const lists = LISTS.filter((name) => filters[name].length > 0).length;
  const others = [
    filters.hours !== "",
    filters.least !== null,
    filters.verdict.length > 0,
    filters.sent !== null,
    filters.wrong,
    filters.text !== "",
    filters.since !== null || filters.until !== null,
  ];
  return lists + others.filter(Boolean).length;
}

/** Everything that narrows taken away. */
export function cleared(filters: Filters): Filters {
  return fromQuery(new URLSearchParams(), filters.shown);
}
