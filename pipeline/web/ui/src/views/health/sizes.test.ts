import assert from "node:assert/strict";
import { test } from "node:test";
import { addTexts } from "../../app/language.ts";
import { languageChoice } from "../../app/settings.ts";
import { daysText, shortTime, sizeText } from "./sizes.ts";
import { texts } from "./texts.ts";

addTexts(texts);
languageChoice.value = "en";

test("sizes", () => {
  assert.equal(sizeText(999), "999 B");
  assert.equal(sizeText(1_250_000), "1.3 MB");
  assert.equal(sizeText(512_000_000_000), "512 GB");
});

test("times", () => {
  assert.equal(shortTime(0.42), "0.42 s");
  assert.equal(shortTime(3.14), "3.1 s");
  assert.equal(shortTime(90), "90 s");
  assert.equal(shortTime(600), "10 min");
  assert.equal(shortTime(3 * 86_400), "3 days");
});

test("days", () => {
  assert.equal(daysText(1.9), "1 day");
  assert.equal(daysText(42.5), "42 days");
  assert.equal(daysText(9999), "years");
});
