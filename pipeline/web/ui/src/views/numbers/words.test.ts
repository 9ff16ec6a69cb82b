import assert from "node:assert/strict";
import { test } from "node:test";
import { languageChoice } from "../../app/settings.ts";
import {
  changeText,
  measureName,
  minutesText,
  secondsText,
  shareText,
  valueText,
} from "./words.ts";

languageChoice.value = "en";

test("what is not known is no number", () => {
  assert.equal(valueText(null, { decimals: 0, suffix: "" }), "–");
  assert.equal(valueText(0, { decimals: 0, suffix: "" }), "0");
});

test("numbers are written as their measure says", () => {
  assert.equal(valueText(1234, { decimals: 0, suffix: "" }), "1,234");
  assert.equal(valueText(1.234, { decimals: 2, suffix: "" }), "1.23");
  assert.equal(valueText(42, { decimals: 1, suffix: " km/h" }), "42.0 km/h");
  assert.equal(valueText(95, { decimals: 0, suffix: " s" }), "1:35 min");
  assert.equal(valueText(0.25, { decimals: 0, suffix: "", unit: "share of the time" }), "25%");
});

test("times are said as people say them", () => {
  assert.equal(secondsText(45.2), "45 s");
  assert.equal(secondsText(3600), "1:00 h");
  assert.equal(minutesText(0.2), "1 min");
  assert.equal(minutesText(73), "1 h 13 min");
  assert.equal(minutesText(120), "2 h");
});

test("a share is never rounded up to all of it", () => {
  assert.equal(shareText(0.9999), "99.9%");
  assert.equal(shareText(1), "100%");
  assert.equal(shareText(0.5), "50%");
});

test("a change has its sign", () => {
  assert.equal(changeText(0.124), "+12%");
  assert.equal(changeText(-0.05), "−5.0%");
  assert.equal(changeText(0), "±0.0%");
});

test("a measure that has no word keeps its own", () => {
  assert.equal(measureName({ name: "entered", heading: "in", unit: "crossings" }), "in");
  assert.equal(measureName({ name: "entered", heading: "entered", unit: "visits" }), "visits");
  assert.equal(measureName({ name: "new_one", heading: "new_one", unit: "x" }), "new one");
});
