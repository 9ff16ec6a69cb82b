/** What a rule or task can be set to, without its looks: what it begins with, what it lacks. */

import type { Form, FormField, Forms } from "./api.ts";
import type { Draft, Json, Settings } from "./model.ts";

/** The kind of a task; undefined where it names none. */
export function kindOf(forms: Forms, task: Settings | undefined): string | undefined {
  return task && forms.tasks.find((form) => form.type in task)?.type;
}

/** A scalar or list of the file as words: `yes` and `no` are true and false in it. */
export function wordsOf(value: Json | undefined): string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(wordsOf);
  return [typeof value === "boolean" ? (value ? "yes" : "no") : String(value)];
}

/** How a question is answered. */
function answerKind(task: Settings): string {
  const given = task["answers"];
  if (given !== undefined) return String(given);
  return wordsOf(task["choices"]).length ? "one of" : "yes/no";
}

/** The answers that a task can give; null where it can say anything. */
export function answersOf(task: Settings | undefined): string[] | null {
  if (!task || !("ask" in task)) return null;
  const kind = answerKind(task);
  if (kind === "one of") return wordsOf(task["choices"]);
  return kind === "yes/no" ? ["yes", "no"] : null;
}

/** Whether a type of rule can judge a task. */
export function fits(form: Form, kind: string | undefined, task: Settings): boolean {
  if (!kind || !form.accepts?.includes(kind)) return false;
  if (kind !== "ask") return true;
  const isNumber = answerKind(task) === "number";
  // A rule without answers to wait for judges numbers; one that needs an answer has words.
  const answers = form.fields.find((field) => field.kind === "answers");
  return answers ? !(answers.required && isNumber) : isNumber;
}

/** The tasks that a type of rule can judge, those first that it is most for. */
export function fittingTasks(form: Form, forms: Forms, draft: Draft): string[] {
  const order = (name: string) => form.accepts?.indexOf(kindOf(forms, draft.tasks[name]) ?? "") ?? 0;
  return Object.entries(draft.tasks)
    .filter(([, task]) => fits(form, kindOf(forms, task), task))
    .map(([name]) => name)
    .sort((one, other) => order(one) - order(other));
}

/**
 * A new rule of a type, with all that it needs, as far as the camera has it. `kept` is what it has
 * already, and wins where it has a meaning.
 */
export function newRule(form: Form, forms: Forms, draft: Draft, kept: Settings = {}): Settings {
  const settings: Settings = { type: form.type };
  const free = { line: Object.keys(draft.lines), zone: Object.keys(draft.zones) };
  const tasks = fittingTasks(form, forms, draft);
  for (const field of form.fields) {
    const { key, kind } = field;
    const has = kept[key];
    const isTaken =
      has === undefined || has === "" || (key === "of" && !tasks.includes(String(has)));
    if (!isTaken) settings[key] = has;
    else if (key === "of") put(key, tasks[0]);
    else if (kind === "answers" || field.instead?.some((other) => kept[other])) continue;
    else if (field.proposed !== null && field.proposed !== undefined) {
      settings[key] = field.proposed as Json;
    } else if (field.required && (kind === "line" || kind === "zone")) put(key, free[kind][0]);
    if (kind === "line" || kind === "zone") {
      free[kind] = free[kind].filter((name) => name !== settings[key]);
    }
  }
  for (const field of form.fields.filter((one) => one.kind === "answers")) {
    const task = draft.tasks[String(settings["of"])];
    const isWanted = task && "ask" in task && answerKind(task) !== "number";
    const possible = answersOf(task);
    const had = wordsOf(kept[field.key]).filter((one) => !possible || possible.includes(one));
    if (!isWanted) delete settings[field.key];
    else put(field.key, had.length > 1 ? had : (had[0] ?? possible?.[0]));
  }
  return settings;

  function put(key: string, value: Json | undefined): void {
    if (value === undefined) delete settings[key];
    else settings[key] = value;
  }
}

/** What was set by somebody: without what was proposed for that type of rule or task. */
export function ownSettings(form: Form | undefined, settings: Settings): Settings {
  const proposed = (key: string) => form?.fields.find((field) => field.key === key)?.proposed;
  return Object.fromEntries(
    Object.entries(settings).filter(([key, value]) => value !== proposed(key)),
  );
}

/** A new task of a kind, with what it finds or is asked. `kept` is what else it has already. */
export function newTask(form: Form, words: Json | undefined, kept: Settings = {}): Settings {
  const settings: Settings = {};
  const own = form.fields.find((field) => field.key === form.type);
  if (own?.kind === "choice") settings[form.type] = (own.proposed as Json) ?? own.choices?.[0] ?? "";
  else if (words !== undefined) settings[form.type] = words;
  for (const field of form.fields) {
    const value = kept[field.key] ?? (field.proposed as Json | undefined);
    if (field.key !== form.type && value !== undefined && value !== null) settings[field.key] = value;
  }
  return settings;
}

/** Whether a field must be filled in, and is not. */
export function isMissing(field: FormField, settings: Settings): boolean {
  if (!field.required || field.instead?.some((key) => key in settings)) return false;
  const value = settings[field.key];
  return value === undefined || value === null || value === "";
}

/** What somebody typed into a field, as it is written in the file. */
export function valueOf(field: FormField, text: string): Json {
  switch (field.kind) {
    case "number":
    case "whole":
      return numberOr(text.replace(",", "."));
    case "numbers":
      return listOf(text, ",").map(numberOr);
    case "points":
      return listOf(text, ",").map((pair) => listOf(pair, /\s+/).map(numberOr));
    case "texts":
      return listOf(text, ",");
    case "answers": {
      const words = listOf(text, ",");
      return words.length > 1 ? words : (words[0] ?? text);
    }
    default:
      return text;
  }
}

/** A value of the file, as it is typed. */
export function typedOf(field: FormField, value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) {
    if (field.kind === "points") {
      return value.map((pair) => (Array.isArray(pair) ? pair.join(" ") : String(pair))).join(", ");
    }
    if (["numbers", "texts", "answers"].includes(field.kind)) return wordsOf(value).join(", ");
  }
  if (typeof value === "object") return JSON.stringify(value);
  return field.kind === "answers" ? wordsOf(value).join(", ") : String(value);
}

function listOf(text: string, between: string | RegExp): string[] {
  return text
    .split(between)
    .map((one) => one.trim())
    .filter(Boolean);
}

function numberOr(text: string): number | string {
  const found = Number(text);
  return text !== "" && Number.isFinite(found) ? found : text;
}
