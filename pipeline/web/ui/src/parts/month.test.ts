import assert from "node:assert/strict";
import { test } from "node:test";
import { dayByKey, monthLater, weekStart, weeksOf } from "./month.ts";

test("weeks begin where people begin them", () => {
  assert.deepEqual([weekStart("de-DE"), weekStart("en-GB"), weekStart("en-US")], [1, 1, 7]);
  assert.deepEqual(weeksOf("2026-11", 1)[0], [null, null, null, null, null, null, "2026-11-01"]);
  assert.equal(weeksOf("2026-11", 1).length, 6);
  const sundays = weeksOf("2026-11", 7);
  assert.equal(sundays[0]?.[0], "2026-11-01");
  assert.deepEqual(sundays.at(-1), ["2026-11-29", "2026-11-30", null, null, null, null, null]);
  assert.deepEqual(weeksOf("2027-02", 1).length, 4); // it begins on a Monday
  assert.equal(weeksOf("2028-02", 1).flat().filter(Boolean).length, 29);
});

test("keys lead over the borders of months, and months have their last day", () => {
  assert.equal(monthLater("2026-01-31", 1), "2026-02-28");
  assert.equal(monthLater("2028-02-29", -12), "2027-02-28");
  const to = (key: string, shift = false, starts = 1) => dayByKey("2026-11-01", key, shift, starts);
  assert.deepEqual(
    ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].map((key) => to(key)),
    ["2026-10-31", "2026-11-02", "2026-10-25", "2026-11-08", "2026-10-26", "2026-11-01"],
  );
  assert.deepEqual([to("Home", false, 7), to("End", false, 7)], ["2026-11-01", "2026-11-07"]);
  assert.deepEqual([to("PageUp"), to("PageDown", true)], ["2026-10-01", "2027-11-01"]);
  assert.equal(to("j"), null);
});
