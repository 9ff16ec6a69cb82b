import assert from "node:assert/strict";
import { test } from "node:test";
import { rangeFromText, rangeToText } from "./range.ts";

test("a span of time in an address is what it was, and nonsense is the usual one", () => {
  for (const range of ["yesterday", { since: 1_780_000_000, until: 1_780_003_600.5 }] as const) {
    assert.deepEqual(rangeFromText(rangeToText(range), "today"), range);
  }
  for (const text of [null, "", "tomorrow", "5-3", "a-b", "1-", "constructor"]) {
    assert.equal(rangeFromText(text, "week"), "week");
  }
});
