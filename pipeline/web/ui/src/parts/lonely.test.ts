import assert from "node:assert/strict";
import { test } from "node:test";
import { placesAlone } from "./lonely.ts";

test("a value between two gaps is found, also at the ends", () => {
  assert.deepEqual(placesAlone([3, null, 0, null, 4, 5, null, 6]), [0, 2, 7]);
  assert.equal(placesAlone([1, 2, null]), null);
  assert.equal(placesAlone([]), null);
});
