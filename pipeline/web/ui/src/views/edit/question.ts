/** A task and a rule for a question that was asked about a picture. */

import type { Forms } from "./api.ts";
import { fits, newRule, newTask, wordsOf } from "./forms.ts";
import { type Draft, freeName, type Settings } from "./model.ts";

export interface Question {
  kind: string;
  words: string;
  /** The engine that answered; it is written where there are several. */
  engine?: string | null;
}

const PROPOSED = ["line_crossing", "occupancy", "condition", "count"];

/**
 * With a rule that judges the question's task. A task that asks the same is taken as it is,
 * with its engine and how often it asks; another one of the same name is left alone.
 */
export function withQuestion(
  draft: Draft,
  forms: Forms,
  { kind, words, engine }: Question,
  engines: readonly string[] = [],
): Draft {
  const form = forms.tasks.find((one) => one.type === kind);
  const said = words.trim();
  if (!form || !said || !forms.rules.some((one) => one.accepts?.includes(kind))) return draft;
  const slug = slugOf(said) || kind;
  const known = Object.entries(draft.tasks).find(
    ([, one]) => kind in one && wordsOf(one[kind]).join().trim() === said,
  );
  const name = known?.[0] ?? freeName(slug, draft.tasks);
  const named: Settings =
    engine && engines.length > 1 && engines.includes(engine) ? { engine } : {};
  const task = known?.[1] ?? newTask(form, said, named);
  const asking = { ...draft, tasks: { ...draft.tasks, [name]: task } };
  const rule = ruleFor(asking, forms, kind, name);
  if (!rule) return asking;
  return {
    ...asking,
    rules: { ...draft.rules, [freeName(`${slug}-there`, draft.rules)]: rule },
  };
}

/** Crossings of a line where there is one; else whether there is any, or whether it is so. */
function ruleFor(draft: Draft, forms: Forms, kind: string, of: string): Settings | null {
  const task = draft.tasks[of] ?? {};
  const hasLine = Object.keys(draft.lines).length > 0;
  for (const type of PROPOSED) {
    const form = forms.rules.find((one) => one.type === type);
    if (!form || !fits(form, kind, task) || (type === "line_crossing" && !hasLine)) continue;
    // Of what the model merely counts there is no place.
    if (type === "occupancy" && kind === "count") continue;
    const proposed: Settings =
      type === "condition" ? { for: "10s" } : type === "line_crossing" ? {} : { more_than: 0 };
    return newRule(form, forms, draft, { ...proposed, of });
  }
  return null;
}

function slugOf(words: string): string {
  return words
    .toLowerCase()
    .replaceAll("ß", "ss")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 32)
    .replace(/^-+|-+$/g, "");
}
