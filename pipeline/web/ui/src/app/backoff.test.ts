import assert from "node:assert/strict";
import { test } from "node:test";
import { nextWaitMs } from "./backoff.ts";

test("waits grow to half a minute and no further", () => {
  assert.deepEqual([0, 1, 2, 5, 50].map((n) => nextWaitMs(n, 0)), [
    1_000, 2_000, 4_000, 30_000, 30_000,
  ]);
});

test("browsers do not all come back at once", () => {
  assert.equal(nextWaitMs(3, 1), 6_400);
});
