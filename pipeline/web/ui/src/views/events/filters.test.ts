import assert from "node:assert/strict";
import { test } from "node:test";
import { cleared, countOf, fromQuery, toApi, toQuery, toggled } from "./filters.ts";

const every =
  "show=all&camera=door&camera=till&rule=in&type=dwell&kind=person&place=sill&direction=in" +
  "&weekday=mon&hours=22-6&least=80&verdict=rejected&sent=refused&wrong=1&text=van&since=10&until=20";

test("an address and its filters say the same", () => {
  const filters = fromQuery(new URLSearchParams(every), "open");
  assert.equal(toQuery(filters, "open").toString(), every);
  assert.deepEqual(filters.camera, ["door", "till"]);
  assert.equal(countOf(filters), 14);
  assert.equal(toQuery(cleared(filters), "open").toString(), "show=all");
});

test("what is wrong in an address narrows nothing", () => {
  const wrong = "show=x&hours=25-26&least=zz&verdict=no&sent=maybe&since=&until=soon&camera=";
  const filters = fromQuery(new URLSearchParams(wrong), "open");
  assert.equal(countOf(filters), 0);
  assert.equal(filters.shown, "open");
});

test("the interface is asked in its own words", () => {
  const asked = toApi(fromQuery(new URLSearchParams(every), "open"));
  assert.equal(asked["least"], 0.8);
  assert.equal(asked["reviewed"], null);
  assert.equal(asked["since"], 10);
  const open = toApi(fromQuery(new URLSearchParams(""), "open"), false);
  assert.equal(open["reviewed"], false);
  assert.equal(open["since"], null);
});

test("a name is added once and taken away again", () => {
  const none = fromQuery(new URLSearchParams(), "all");
  const one = toggled(none, "camera", "door");
  assert.deepEqual(one.camera, ["door"]);
  assert.deepEqual(toggled(one, "camera", "door").camera, []);
});
