import assert from "node:assert/strict";
import { test } from "node:test";
import {
  begun,
  changedParts,
  type Draft,
  redone,
  rulesOf,
  stepped,
  touchedRules,
  undone,
  withFlipped,
  withPoint,
  withPointInserted,
  withRenamed,
  withTaskRenamed,
  withoutPoint,
} from "./model.ts";

const draft: Draft = {
  lines: { sill: { from: [0.1, 0.5], to: [0.9, 0.5] } },
  zones: {
    till: {
      polygon: [
        [0, 0],
        [0.5, 0],
        [0.5, 0.5],
      ],
    },
  },
  masks: [],
  rules: {
    in: { type: "line_crossing", of: "people", line: "sill" },
    wait: { type: "dwell", of: "people", zone: "till" },
  },
  tasks: { people: { detect: "person" } },
};
const till = { kind: "zone", name: "till" } as const;

test("only what differs is an edit, and only rules that judge by it are touched", () => {
  const edited = withPoint(draft, { kind: "line", name: "sill" }, 0, [0.2, 0.5]);
  assert.deepEqual(changedParts(edited, draft), {
    lines: { sill: { from: [0.2, 0.5], to: [0.9, 0.5] } },
  });
  assert.deepEqual(touchedRules(edited, draft), ["in"]);
  assert.deepEqual(changedParts(draft, draft), {});
});

test("a line is flipped and back", () => {
  assert.deepEqual(withFlipped(withFlipped(draft, "sill"), "sill"), draft);
});

test("a polygon keeps three corners", () => {
  assert.equal(withoutPoint(draft, till, 0), draft);
  const more = withPointInserted(draft, till, 2);
  assert.equal(more.zones["till"]?.polygon.length, 4);
  assert.deepEqual(withoutPoint(more, till, 3), draft);
});

test("a new name is taken over by rules", () => {
  const renamed = withRenamed(draft, { kind: "line", name: "sill" }, "door");
  assert.equal(renamed.rules["in"]?.["line"], "door");
  assert.deepEqual(Object.keys(renamed.lines), ["door"]);
});

test("steps are taken back and done again", () => {
  const edited = withFlipped(draft, "sill");
  const steps = stepped(begun(draft), edited);
  assert.equal(undone(steps).now, draft);
  assert.equal(redone(undone(steps)).now, edited);
  assert.equal(stepped(steps, edited), steps);
});

test("a rule follows all names that it has", () => {
  const rules = {
    line: { type: "queue", of: "people", zone: "till", served: "desk" },
    bag: { type: "left_object", of: "bags", people: "people" },
  };
  const queued = { ...draft, rules, zones: { ...draft.zones, desk: { polygon: [] } } };
  const desk = { kind: "zone", name: "desk" } as const;
  assert.deepEqual(rulesOf(queued, desk), ["line"]);
  assert.equal(withRenamed(queued, desk, "counter").rules["line"]?.["served"], "counter");
  const renamed = withTaskRenamed(queued, "people", "visitors");
  assert.equal(renamed.rules["line"]?.["of"], "visitors");
  assert.equal(renamed.rules["bag"]?.["people"], "visitors");
  assert.deepEqual(Object.keys(renamed.tasks), ["visitors"]);
  const moved = { ...queued, zones: { ...queued.zones, desk: { polygon: [till] } } };
  assert.deepEqual(touchedRules(moved as unknown as Draft, queued), ["line"]);
});
