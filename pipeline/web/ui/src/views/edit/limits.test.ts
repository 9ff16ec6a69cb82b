import assert from "node:assert/strict";
import { test } from "node:test";
import { bars, isBySeconds, limitsOf, placeOf, writtenLimit } from "./limits.ts";

test("the limits of a rule are those that are set", () => {
  assert.deepEqual(limitsOf("queue", { longer_than: "3m", more_than: 4 }), ["longer_than", "more_than"]);
  assert.deepEqual(limitsOf("occupancy", {}), []);
  assert.deepEqual(limitsOf("line_crossing", { line: "a" }), []);
  // A plain dwell rule shows all its visits; one that is silent at times does not tell them all.
  assert.equal(isBySeconds("dwell", { longer_than: "30s" }), true);
  assert.deepEqual(limitsOf("dwell", { longer_than: "30s" }), []);
  assert.deepEqual(limitsOf("dwell", { longer_than: "30s", cooldown: "1m" }), ["longer_than"]);
});

test("a limit is written as the file has it, and found among the marks", () => {
  assert.equal(writtenLimit(90, "s"), "90s");
  assert.equal(writtenLimit(1.5, "s"), "1500ms");
  assert.equal(writtenLimit(4, "number"), 4);
  const marks = [
    { limit: 30, events: 14 },
    { limit: 45, events: 7 },
  ];
  assert.equal(placeOf(marks, 45), 1);
  assert.equal(placeOf(marks, 40), -1);
  assert.equal(placeOf(marks, null), -1);
  assert.deepEqual(bars(marks), [1, 0.5]);
});
