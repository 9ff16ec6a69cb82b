import assert from "node:assert/strict";
import { test } from "node:test";
import { binAt, gapsOf, heightOf, spanBetween, ticksOf, zoomed } from "./drawing.ts";

const bins = { since: 600, bin_s: 60, bins: 10 };

test("gaps are where something is not known", () => {
  assert.deepEqual(gapsOf([1, 0.96, 1, null]), []);
  assert.deepEqual(gapsOf([0, 0.5, 1, 0.2, null]), [
    { first: 0, length: 2, known: 0.25 },
    { first: 3, length: 1, known: 0.2 },
  ]);
});

test("a span between two bins holds both", () => {
  assert.deepEqual(spanBetween(bins, 3, 1), [660, 840]);
  assert.deepEqual(spanBetween(bins, -5, 99), [600, 1200]);
  assert.equal(binAt(bins, 1), 9);
  assert.equal(binAt(bins, 0.25), 2);
});

test("one event beside hundred can be seen, and none is none", () => {
  assert.equal(heightOf(0, 100), 0);
  assert.ok(heightOf(1, 100) >= 0.1);
  assert.equal(heightOf(100, 100), 1);
});

test("ticks are round", () => {
  const days = (seconds: number, later: number) =>
    (Math.floor(seconds / 86_400) + later) * 86_400;
  assert.deepEqual(ticksOf(3600, 6 * 3600, 6, days), [3600, 7200, 10800, 14400, 18000]);
  const month = ticksOf(0, 90 * 86_400, 8, days);
  assert.ok(month.length <= 8 && month.every((at) => at % 86_400 === 0));
});

test("zooming keeps within its limits and does not go beyond now", () => {
  assert.deepEqual(zoomed(0, 100, 0.5, 1000, [10, 200]), [25, 75]);
  assert.deepEqual(zoomed(900, 1000, 2, 1000, [10, 200]), [800, 1000]);
  assert.deepEqual(zoomed(0, 100, 100, 1000, [10, 200]), [-50, 150]);
});
