import assert from "node:assert/strict";
import { test } from "node:test";
import type { components } from "../../api/schema.d.ts";
import {
  closedSpans,
  extrapolated,
  groupsOf,
  knownShares,
  lineBefore,
  linesOf,
  rateOnGrid,
  sharesBefore,
  siteLinesOf,
  stepsOf,
  unknownOf,
  unknownSpans,
} from "./lines.ts";

type Answer = components["schemas"]["NumbersAnswer"];

const HOUR = 3600;

function measure(name: string, values: (number | null)[], more = {}) {
  return {
    name,
    heading: name,
    unit: "crossings",
    over_time: "sum",
    decimals: 0,
    suffix: "",
    is_main: true,
    values,
    total: 1,
    heat: null,
    ...more,
  };
}

function rule(name: string, known: number[], measures: ReturnType<typeof measure>[]) {
  return {
    camera: "door",
    rule: name,
    site: "Shop",
    type: "line_crossing",
    title: "footfall",
    staff: null,
    coverage: known.map((minutes) => minutes / 60),
    minutes_known: known,
    measures,
    minutes: 180,
    known: 0.5,
    events: 0,
    audit: null,
  };
}

function answer(series: ReturnType<typeof rule>[], more: Partial<Answer> = {}): Answer {
  const steps = [0, 1, 2, 3].map((n) => ({
    since: n * HOUR,
    until: (n + 1) * HOUR,
    minutes: n < 2 ? 60 : n === 2 ? 30 : 0,
  }));
  return {
    now: 2.5 * HOUR,
    first: null,
    last: null,
    since: 0,
    until: 4 * HOUR,
    step: "1h",
    only_open: false,
    newest: null,
    sites: [{ site: "Shop", timezone: "UTC", has_hours: false, steps, days: [] }],
    series,
    sold: [],
    captured: [],
    sums: [],
    edits: [],
    before: null,
    there: [],
    missing_formats: {},
    ...more,
  };
}

const IN = measure("entered", [1, null, 3, null]);
const OUT = measure("left", [0, null, 2, null]);

test("what is ahead has no steps, and of the running one what is over counts", () => {
  const found = answer([rule("a", [60, 0, 30, 0], [IN, OUT])]);
  assert.equal(stepsOf(found).length, 3);
  assert.deepEqual(knownShares(found), [1, 0, 1]);
});

test("unknown neighbours are one span, up to now", () => {
  const found = answer([rule("a", [60, 0, 3, 0], [IN])]);
  assert.deepEqual(unknownSpans(found, 0.9), [{ since: HOUR, until: 2.5 * HOUR }]);
});

test("one rule shows all its numbers of a kind, several show one each", () => {
  const one = answer([rule("a", [60, 0, 30, 0], [IN, OUT])]);
  const group = groupsOf(one)[0];
  assert.ok(group);
  assert.deepEqual(linesOf(one, group, "entered").map((l) => l.measure.name), ["entered", "left"]);
  const two = answer([
    rule("a", [60, 0, 30, 0], [IN, OUT]),
    rule("b", [60, 60, 30, 0], [measure("entered", [5, 6, 7, null])]),
  ]);
  const lines = linesOf(two, group, "entered");
  assert.deepEqual(lines.map((line) => line.of), ["door/a", "door/b"]);
  assert.deepEqual(lines[0]?.values, [1, null, 3]);
});

test("levels and sums have scales of their own", () => {
  const mean = measure("mean", [1, 2, 3, null], { over_time: "mean", unit: "people" });
  const served = measure("served", [1, 2, 3, null], { unit: "people" });
  const wait = measure("mean_wait_s", [1, 2, 3, null], { over_time: "derived", unit: "s", suffix: " s" });
  const keys = groupsOf(answer([rule("q", [60, 60, 30, 0], [mean, served, wait])])).map((g) => g.key);
  assert.deepEqual(keys, ["people level", "people", "seconds"]);
});

test("sites are sums", () => {
  const found = answer([rule("a", [60, 0, 30, 0], [IN])], {
    sums: [
      {
        site: "Shop",
        name: "entered",
        heading: "in",
        unit: "crossings",
        rules: 2,
        values: [2, null, 4, null],
        coverage: [1, 0, 1, 0],
        total: null,
      },
    ],
  });
  const group = groupsOf(found)[0];
  assert.ok(group);
  assert.deepEqual(siteLinesOf(found, group, "entered")[0]?.values, [2, null, 4]);
});

test("closed time is what lies between openings, and is not unknown", () => {
  const found = answer([rule("a", [60, 0, 0, 0], [IN])]);
  const grid = found.sites[0];
  assert.ok(grid);
  grid.has_hours = true;
  grid.days = [
    { day: "1970-01-01", since: 0, until: 24 * HOUR, holiday: null, openings: [{ since: 0, until: HOUR }] },
  ];
  assert.deepEqual(closedSpans(found), [{ since: HOUR, until: 2.5 * HOUR }]);
  assert.deepEqual(unknownSpans(found, 0.9), []);
});

test("the time before has gaps of its own, and nothing where there was no such hour", () => {
  const series = [rule("in", [60, 60, 30, 0], [IN])];
  const earlier = {
    ...rule("in", [60, 6, 0, 60], [measure("entered", [5, 1, null, 7])]),
  };
  const steps = [60, 60, 0, 60].map((minutes, n) => ({ since: n, until: n, minutes }));
  const found = answer(series, {
    before: {
      weeks: 1,
      since: -3600,
      until: 0,
      sites: [{ site: "Shop", timezone: "UTC", has_hours: false, steps, days: [] }],
      series: [earlier],
      sums: [],
      edits: [],
    },
  });
  const group = groupsOf(found)[0];
  assert.ok(group);
  const line = linesOf(found, group, "entered")[0];
  assert.ok(line);
  // Of the second hour a tenth is known: its number would be far too low.
  assert.deepEqual(lineBefore(found, line, 0.9)?.values, [5, null, null]);
  assert.deepEqual(sharesBefore(found), [1, 0.1, null]);
  assert.equal(lineBefore(answer(series), line, 0.9), null);
});

test("conversion is hatched by its doors, where the site is open", () => {
  const sold = {
    site: "Shop",
    problem: null,
    doors: ["a/in"],
    transactions: [1, 1, null],
    conversion: [0.25, null, null],
    known: [1, 0.5, null],
    total_transactions: 2,
    total_amount: null,
    total_conversion: null,
    total_known: 0.75,
  };
  const found = answer([rule("a", [60, 60, 30, 0], [IN, OUT])], { sold: [sold] });
  assert.deepEqual(rateOnGrid(found, sold.site, sold.conversion), [25, null, null]);
  assert.deepEqual(unknownOf(found, sold.site, sold.known, 0.9), [{ since: HOUR, until: 2 * HOUR }]);
});

test("a sum with gaps is reckoned up where enough is known, and nothing else is", () => {
  const found = (known: number[], more = {}) => {
    const rules = known.map((share, index) => ({
      ...rule(`r${index}`, [60], [measure("entered", [90], { total: 90 })]),
      known: share,
    }));
    const total = 90 * known.length;
    const line = { key: "k", of: "s", measure: measure("entered", []), values: [], total, ...more };
    return extrapolated(line, rules);
  };
  assert.equal(found([0.9]), 100);
  assert.equal(found([0.5]), 180);
  assert.equal(found([0.9, 1]), 190); // each by its own share
  assert.equal(found([0.49]), null);
  assert.equal(found([0.9, 0.2]), null);
  assert.equal(found([1]), null); // there are no gaps
  assert.equal(found([0.9], { total: null }), null);
  assert.equal(found([0.9], { total: 0 }), null);
  assert.equal(found([0.9], { total: 80 }), null); // that is of another rule
  for (const over_time of ["mean", "max", "derived"]) {
    assert.equal(found([0.9], { measure: { ...measure("entered", []), over_time } }), null);
  }
});
