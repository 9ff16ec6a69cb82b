import assert from "node:assert/strict";
import { test } from "node:test";
import {
  answersOf,
  fittingTasks,
  isMissing,
  newRule,
  newTask,
  ownSettings,
  typedOf,
  valueOf,
  wordsOf,
} from "./forms.ts";
import type { Draft, Json } from "./model.ts";
import { formOf, forms } from "./sample_forms.ts";

const draft: Draft = {
  lines: {},
  zones: { till: { polygon: [] }, desk: { polygon: [] } },
  masks: [],
  rules: {},
  tasks: {
    many: { ask: "How many?", answers: "number" },
    light: { ask: "Which?", choices: ["red", "green"] },
    people: { detect: "person" },
  },
};

test("only tasks that a rule can judge are offered", () => {
  const of = (type: string) => fittingTasks(formOf("rules", type), forms, draft);
  assert.deepEqual(of("condition"), ["light"]);
  assert.deepEqual(of("count"), ["people", "many"]);
  assert.deepEqual(of("occupancy"), ["people"]);
});

test("a new rule has what it needs, as far as the camera has it", () => {
  const made = (type: string, kept = {}) => newRule(formOf("rules", type), forms, draft, kept);
  assert.deepEqual(made("condition"), { type: "condition", of: "light", is: "red" });
  assert.deepEqual(made("queue"), { type: "queue", of: "people", zone: "till", served: "desk" });
  assert.deepEqual(made("absence"), { type: "absence", of: "people", for: "5m" });
  const crossing = made("line_crossing");
  assert.deepEqual(crossing, { type: "line_crossing", of: "people" });
  const lacks = formOf("rules", "line_crossing").fields.filter((one) => isMissing(one, crossing));
  assert.deepEqual(lacks.map((one) => one.key), ["line"]);
});

test("what was set is kept where it has a meaning", () => {
  const absence = formOf("rules", "absence");
  const was = { type: "absence", of: "people", for: "5m", zone: "desk" };
  const own = ownSettings(absence, was);
  assert.deepEqual(newRule(formOf("rules", "occupancy"), forms, draft, own), {
    type: "occupancy",
    of: "people",
    zone: "desk",
  });
  assert.equal(newRule(formOf("rules", "condition"), forms, draft, own)["of"], "light");
  const way = newRule(formOf("rules", "wrong_way"), forms, draft, own);
  assert.deepEqual(way, { type: "wrong_way", of: "people", zone: "desk" });
  assert.ok(!formOf("rules", "wrong_way").fields.some((one) => isMissing(one, way)));
  const both = { is: ["green", "blue", "red"] };
  assert.deepEqual(newRule(formOf("rules", "condition"), forms, draft, both)["is"], ["green", "red"]);
});

test("a new task asks as often as is sensible for its kind", () => {
  const ask = formOf("tasks", "ask");
  const asking = newTask(ask, "Open?", { engine: "vlm" });
  assert.deepEqual(asking, { ask: "Open?", engine: "vlm", every: "30s" });
  const detect = formOf("tasks", "detect");
  assert.deepEqual(newTask(detect, "cat", ownSettings(ask, asking)), { detect: "cat", engine: "vlm" });
  const slow = ownSettings(ask, { ...asking, every: "5m" });
  assert.equal(newTask(detect, "cat", slow)["every"], "5m");
  assert.deepEqual(newTask(formOf("tasks", "caption"), "cat"), { caption: "short", every: "30s" });
});

test("yes and no are words, however the file says them", () => {
  assert.deepEqual(wordsOf(true), ["yes"]);
  assert.deepEqual(wordsOf([false, "maybe", 3]), ["no", "maybe", "3"]);
  assert.deepEqual(answersOf({ ask: "x" }), ["yes", "no"]);
  assert.deepEqual(answersOf({ ask: "x", choices: ["a", true] }), ["a", "yes"]);
  assert.equal(answersOf({ ask: "x", answers: "text" }), null);
  assert.equal(answersOf({ detect: "x" }), null);
});

test("what is typed is written as the file has it, and back", () => {
  const field = (kind: string) => ({ key: "x", kind, description: "", required: false }) as never;
  const cases: [string, string, Json][] = [
    ["number", "1.5", 1.5],
    ["whole", "3", 3],
    ["whole", "many", "many"],
    ["numbers", "3.5, 12", [3.5, 12]],
    ["points", "0 0, 3.5 0, 4 12", [[0, 0], [3.5, 0], [4, 12]]],
    ["texts", "open, shut", ["open", "shut"]],
    ["answers", "open", "open"],
    ["answers", "open, ajar", ["open", "ajar"]],
    ["duration", "30s", "30s"],
  ];
  for (const [kind, text, value] of cases) {
    assert.deepEqual(valueOf(field(kind), text), value);
    assert.equal(typedOf(field(kind), value), text);
  }
});
