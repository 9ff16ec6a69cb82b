import assert from "node:assert/strict";
import { test } from "node:test";
import { dayAfter, daysBetween, isDay, kindOf, periodName, periodOf, shifted } from "./days.ts";

test("days follow each other over months and leap days", () => {
  assert.equal(dayAfter("2026-11-30", 1), "2026-12-01");
  assert.equal(dayAfter("2028-03-01", -1), "2028-02-29");
  assert.equal(daysBetween("2026-10-19", "2026-10-25"), 7);
});

test("what is no day is none", () => {
  assert.equal(isDay("2026-02-30"), false);
  assert.equal(isDay("yesterday"), false);
  assert.equal(isDay(null), false);
  assert.equal(isDay("2028-02-29"), true);
});

test("periods are whole", () => {
  assert.deepEqual(periodOf("week", "2026-11-22"), { first: "2026-11-16", last: "2026-11-22" });
  assert.deepEqual(periodOf("week", "2026-11-16"), { first: "2026-11-16", last: "2026-11-22" });
  assert.deepEqual(periodOf("month", "2026-02-10"), { first: "2026-02-01", last: "2026-02-28" });
  assert.equal(kindOf({ first: "2026-11-16", last: "2026-11-22" }), "week");
  assert.equal(kindOf({ first: "2026-11-17", last: "2026-11-23" }), null);
});

test("the one before is as long, or the month before", () => {
  assert.deepEqual(shifted({ first: "2026-03-01", last: "2026-03-31" }, -1), {
    first: "2026-02-01",
    last: "2026-02-28",
  });
  assert.deepEqual(shifted({ first: "2026-11-17", last: "2026-11-19" }, 1), {
    first: "2026-11-20",
    last: "2026-11-22",
  });
});

test("weeks are named by their Thursday", () => {
  assert.equal(periodName("week", "2026-11-16"), "2026-W47");
  assert.equal(periodName("week", "2025-12-29"), "2026-W01");
  assert.equal(periodName("week", "2026-12-28"), "2026-W53");
  assert.equal(periodName("month", "2026-11-01"), "2026-11");
});
