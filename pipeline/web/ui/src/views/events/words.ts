/** What happened, and what a rule says, as sentences: which text and with which values. */

export interface Said {
  /** Key of the text. */
  key: string;
  values: Record<string, string | number>;
}

export interface Told {
  type: string;
  rule: string;
  camera: string;
  kind: string | null;
  zone: string | null;
  line: string | null;
  direction: string | null;
  seconds: number | null;
  data: Record<string, unknown>;
}

const KNOWN: readonly string[] = [
  "line_crossing",
  "dwell",
  "occupancy",
  "count",
  "crowding",
  "absence",
  "queue",
  "tailgating",
  "wrong_way",
  "speed",
  "left_object",
  "removed_object",
  "parking",
  "condition",
  "sequence",
  "report",
  "arming",
];
/** The rules of which there is a sentence about what they look for. */
const EXPLAINED = KNOWN.slice(0, 14);

/** What happened. `long` writes seconds, `name` an unnamed kind. */
export function headline(one: Told, long: (seconds: number) => string, name: string): Said {
  const data = one.data;
  const number = (key: string) => (typeof data[key] === "number" ? (data[key] as number) : null);
  const text = (key: string) => (typeof data[key] === "string" ? (data[key] as string) : "");
  const values: Record<string, string | number> = {
    kind: capital(one.kind ?? name),
    place: one.zone ?? one.line ?? one.camera,
    way: text("name") || one.direction || "",
    seconds: one.seconds === null ? "" : long(one.seconds),
    count: number("extreme") ?? number("count") ?? "",
    limit: number("more_than") ?? number("fewer_than") ?? "",
    kmh: number("kmh") ?? "",
    answer: text("answer"),
    rule: one.rule,
    by: text("by"),
    state: text("state"),
  };
  if (one.type.startsWith("camera_")) return { key: "events.said.camera", values };
  if (!KNOWN.includes(one.type)) return { key: "events.said.other", values: { ...values, type: one.type.replaceAll("_", " ") } };
  let key = `events.said.${one.type}`;
  if (one.type === "occupancy" && number("fewer_than") !== null) key += ".fewer";
  if (one.type === "count" && number("fewer_than") !== null) key += ".fewer";
  if (one.type === "queue" && data["about"] === "wait") key += ".wait";
  if (one.type === "arming") key += data["armed"] === true ? ".on" : ".off";
  if (one.seconds === null && ["dwell", "absence", "parking"].includes(one.type)) key += ".open";
  return { key, values };
}

/** What a rule looks for, by its terms as they are in the file; null for one without a sentence. */
export function ruleSentence(type: string, terms: readonly { name: string; value: string }[]): Said | null {
  if (!EXPLAINED.includes(type)) return null;
  const written = new Map(terms.map((term) => [term.name, term.value]));
  const term = (name: string, otherwise = "") => written.get(name) ?? otherwise;
  const values = {
    of: term("of"),
    place: term("zone") || term("line") || term("served"),
    more: term("more_than"),
    fewer: term("fewer_than"),
    longer: term("longer_than") || term("for") || term("stood"),
    within: term("within"),
    over: term("over"),
    is: term("is"),
  };
  let key = `events.rule.${type}`;
  if (["occupancy", "count"].includes(type) && values.fewer) key += ".fewer";
  if (!values.place && ["occupancy", "count", "crowding", "dwell", "absence", "parking"].includes(type)) {
    key = `${key}.anywhere`;
  }
  return { key, values };
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
