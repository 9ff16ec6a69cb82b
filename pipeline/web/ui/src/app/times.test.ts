import assert from "node:assert/strict";
import { test } from "node:test";
import { languageChoice } from "./settings.ts";
import { clock, duration, fromInput, inputValue, spanOf, startOfDay } from "./times.ts";

const BERLIN = "Europe/Berlin";
const at = (text: string) => Date.parse(text) / 1000;

test("days begin at midnight of the site, and are as long as they are", () => {
  const noon = at("2026-10-25T12:00:00+01:00");
  const start = startOfDay(noon, BERLIN);
  assert.equal(start, at("2026-10-25T00:00:00+02:00"));
  assert.equal(startOfDay(noon, BERLIN, 1) - start, 25 * 3600);
  const spring = startOfDay(at("2026-03-29T12:00:00+02:00"), BERLIN);
  assert.equal(startOfDay(spring, BERLIN, 1) - spring, 23 * 3600);
  assert.equal(startOfDay(at("2026-12-31T23:30:00Z"), "UTC", 1), at("2027-01-01T00:00:00Z"));
});

test("spans of presets are whole days", () => {
  const now = at("2026-11-27T14:05:00+01:00");
  const midnight = at("2026-11-27T00:00:00+01:00");
  assert.deepEqual(spanOf("today", now, BERLIN), { since: midnight, until: midnight + 86_400 });
  assert.deepEqual(spanOf("week", now, BERLIN).since, midnight - 6 * 86_400);
});

test("typed times are those of the site", () => {
  const moment = at("2026-07-01T08:30:00+02:00");
  assert.equal(inputValue(moment, BERLIN), "2026-07-01T08:30");
  assert.equal(fromInput("2026-07-01T08:30", BERLIN), moment);
  assert.equal(fromInput("", BERLIN), null);
});

test("the clock has 24 hours in both languages", () => {
  for (const language of ["en", "de"] as const) {
    languageChoice.value = language;
    assert.equal(clock(at("2026-11-27T00:05:00Z"), "UTC"), "00:05");
    assert.equal(clock(at("2026-11-27T14:05:00Z"), "UTC"), "14:05");
  }
});

test("durations have their two largest units", () => {
  languageChoice.value = "en";
  const found = [0, 0.42, 45, 60, 4_800, 90_061].map(duration);
  assert.deepEqual(found, ["0 s", "0.4 s", "45 s", "1 min", "1 h 20 min", "1 d 1 h"]);
});
