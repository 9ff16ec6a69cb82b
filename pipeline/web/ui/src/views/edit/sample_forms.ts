/** Forms for tests, in the shape in which the API gives them. */

import type { Form, FormField, Forms } from "./api.ts";

type Given = Partial<FormField> & Pick<FormField, "key" | "kind">;

const empty = { description: "", required: false, instead: [], choices: [], fields: [] };

function form(type: string, fields: Given[], accepts: string[] = []): Form {
  const all = fields.map((one) => ({ ...empty, ...one }));
  return { type, description: "", fields: all, accepts };
}

const of: Given = { key: "of", kind: "task", required: true };
const zone: Given = { key: "zone", kind: "zone" };
const moreThan: Given = { key: "more_than", kind: "whole" };
const lasts: Given = { key: "for", kind: "duration" };
const every: Given = { key: "every", kind: "duration" };
const engine: Given = { key: "engine", kind: "engine" };

export const forms: Forms = {
  rules: [
    form("line_crossing", [of, { key: "line", kind: "line", required: true }], ["detect"]),
    form("occupancy", [of, zone, moreThan, lasts], ["detect", "point", "count"]),
    form("count", [of, moreThan, lasts], ["count", "detect", "point", "ask"]),
    form("condition", [of, { key: "is", kind: "answers", required: true }, lasts], ["ask"]),
    form(
      "queue",
      [of, { ...zone, required: true }, { key: "served", kind: "zone", required: true }],
      ["detect"],
    ),
    form("absence", [of, { ...lasts, required: true, proposed: "5m" }, zone], ["detect"]),
    form(
      "wrong_way",
      [of, { key: "line", kind: "line", required: true, instead: ["zone"] }, zone],
      ["detect"],
    ),
  ],
  tasks: [
    form("detect", [{ key: "detect", kind: "text", required: true }, engine, every]),
    form("point", [{ key: "point", kind: "text", required: true }, engine, every]),
    form("count", [{ key: "count", kind: "text", required: true }, engine, every]),
    form("ask", [
      { key: "ask", kind: "text", required: true },
      engine,
      { ...every, proposed: "30s" },
      { key: "answers", kind: "choice" },
      { key: "choices", kind: "texts" },
    ]),
    form("caption", [
      { key: "caption", kind: "choice", required: true, choices: ["short", "long"] },
      { ...every, proposed: "30s" },
    ]),
  ],
};

export function formOf(part: "rules" | "tasks", type: string): Form {
  const found = forms[part].find((one) => one.type === type);
  if (!found) throw new Error(`no form ${type}`);
  return found;
}
