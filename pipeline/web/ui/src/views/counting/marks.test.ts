import assert from "node:assert/strict";
import { test } from "node:test";
import { countOf, halfFrom, type Mark, nextOpen, tallyOf, withMark, withoutLast } from "./marks.ts";

const marks: readonly Mark[] = [
  { direction: "in", at: 1 },
  { direction: "out", at: 2 },
  { direction: "in", at: 3 },
];

test("each key counts one, and undo takes the last one back", () => {
  assert.equal(countOf(marks, "in"), 2);
  assert.equal(countOf(withoutLast(marks), "in"), 1);
  assert.deepEqual(withoutLast([]), []);
  let many: readonly Mark[] = [];
  for (let n = 0; n < 1005; n += 1) many = withMark(many, { direction: "one", at: n });
  assert.equal(many.length, 999);
});

test("what is sent of a clip", () => {
  assert.deepEqual(tallyOf(marks, true), { inwards: 2, outwards: 1, number: null });
  assert.deepEqual(tallyOf([], true), { inwards: 0, outwards: 0, number: null });
  assert.deepEqual(tallyOf([{ direction: "one", at: 1 }], false), {
    inwards: null,
    outwards: null,
    number: 1,
  });
  assert.deepEqual(tallyOf(null, true), { inwards: null, outwards: null, number: null });
});

test("what a browser has kept is read only where it is whole", () => {
  const half = { clip: "clip-1", marks: [...marks], at: 3.5 };
  assert.deepEqual(halfFrom(JSON.parse(JSON.stringify(half))), half);
  for (const broken of [null, 3, {}, { ...half, at: "3" }, { ...half, marks: [{ at: 1 }] }]) {
    assert.equal(halfFrom(broken), null);
  }
});

test("the next clip is the first one that nothing was said of", () => {
  const clips = [true, false, true, false].map((is_judged) => ({ is_judged }));
  assert.equal(nextOpen(clips), 1);
  assert.equal(nextOpen(clips, 2), 3);
  assert.equal(nextOpen(clips, 4), 1);
  assert.equal(nextOpen([{ is_judged: true }]), null);
});
