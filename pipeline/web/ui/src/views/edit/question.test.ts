import assert from "node:assert/strict";
import { test } from "node:test";
import type { Draft } from "./model.ts";
import { withQuestion } from "./question.ts";
import { forms } from "./sample_forms.ts";

const draft: Draft = {
  lines: {},
  zones: {},
  masks: [],
  rules: {},
  tasks: {
    people: { detect: "person", engine: "fast", where: "motion" },
    door: { ask: "Is the door open?", engine: "vlm", every: "5m", max_tokens: 8 },
  },
};
const asked = (kind: string, words: string, on = draft) => withQuestion(on, forms, { kind, words });

test("a task that asks the same is taken as it is", () => {
  const known = asked("ask", "Is the door open?");
  assert.deepEqual(known.tasks, draft.tasks);
  assert.deepEqual(known.rules, {
    "is-the-door-open-there": { type: "condition", of: "door", for: "10s", is: "yes" },
  });
  const people = asked("detect", " person ");
  assert.deepEqual(people.tasks, draft.tasks);
  assert.equal(people.rules["person-there"]?.["of"], "people");
});

test("a task of the same name with other words is left alone", () => {
  const found = asked("detect", "People");
  assert.deepEqual(found.tasks, { ...draft.tasks, "people-2": { detect: "People" } });
  const again = asked("ask", "door");
  assert.deepEqual(again.tasks, { ...draft.tasks, "door-2": { ask: "door", every: "30s" } });
  assert.equal(again.rules["door-there"]?.["of"], "door-2");
  assert.deepEqual(Object.keys(asked("ask", "Tür auf?", again).tasks).at(-1), "tur-auf");
});

test("models are asked every 30 seconds, detectors about each picture", () => {
  assert.deepEqual(asked("ask", "Wet?").tasks["wet"], { ask: "Wet?", every: "30s" });
  for (const kind of ["detect", "point", "count"]) {
    assert.deepEqual(asked(kind, "red car").tasks["red-car"], { [kind]: "red car" });
  }
});

test("each kind has its rule", () => {
  const rule = (kind: string, on = draft) => asked(kind, "cat", on).rules["cat-there"];
  assert.deepEqual(rule("detect"), { type: "occupancy", of: "cat", more_than: 0 });
  assert.deepEqual(rule("point"), { type: "occupancy", of: "cat", more_than: 0 });
  assert.deepEqual(rule("count"), { type: "count", of: "cat", more_than: 0 });
  const lined: Draft = { ...draft, lines: { sill: { from: [0, 0], to: [1, 1] } } };
  assert.deepEqual(rule("detect", lined), { type: "line_crossing", of: "cat", line: "sill" });
  assert.deepEqual(rule("point", lined), { type: "occupancy", of: "cat", more_than: 0 });
});

test("a question that is answered otherwise has a rule for its answers", () => {
  const tasks = {
    many: { ask: "How many?", answers: "number" },
    door: { ask: "Open?", choices: ["open", "shut"] },
  };
  const on: Draft = { ...draft, tasks };
  assert.deepEqual(asked("ask", "How many?", on).rules["how-many-there"], {
    type: "count",
    of: "many",
    more_than: 0,
  });
  assert.equal(asked("ask", "Open?", on).rules["open-there"]?.["is"], "open");
});

test("the engine that answered is named where there are several", () => {
  const question = { kind: "detect", words: "cat", engine: "vlm" };
  const of = (engines: string[]) => withQuestion(draft, forms, question, engines).tasks["cat"];
  assert.deepEqual(of(["fast", "vlm"]), { detect: "cat", engine: "vlm" });
  assert.deepEqual(of(["vlm"]), { detect: "cat" });
  assert.deepEqual(of(["fast", "other"]), { detect: "cat" });
});

test("what is no question changes nothing", () => {
  assert.equal(asked("open", "x"), draft);
  assert.equal(asked("ask", "  "), draft);
  assert.equal(asked("caption", "short"), draft);
});
