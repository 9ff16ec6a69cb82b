import assert from "node:assert/strict";
import { test } from "node:test";
import {
  crossesItself,
  inward,
  moved,
  placed,
  snapped,
  withInserted,
  type XY,
} from "./geometry.ts";

test("points stay in the picture and are written shortly", () => {
  assert.deepEqual(placed([1.2, 0.123456]), [1, 0.1235]);
  assert.deepEqual(placed([-0.1, 0.5]), [0, 0.5]);
});

test("a point near the edge is on it", () => {
  assert.deepEqual(snapped([0.005, 0.995]), [0, 1]);
  assert.deepEqual(snapped([0.05, 0.95]), [0.05, 0.95]);
});

test("a shape is moved as a whole, and stops at the edge as a whole", () => {
  const line: XY[] = [
    [0.1, 0.2],
    [0.3, 0.9],
  ];
  assert.deepEqual(moved(line, -0.5, 0.05), [
    [0, 0.25],
    [0.2, 0.95],
  ]);
});

test("a polygon gets a point in the middle of an edge, also of the last one", () => {
  const square: XY[] = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  assert.deepEqual(withInserted(square, 3)[4], [0, 0.5]);
  assert.deepEqual(withInserted(square, 0)[1], [0.5, 0]);
});

test("polygons that cross themselves are known", () => {
  assert.equal(
    crossesItself([
      [0, 0],
      [1, 1],
      [1, 0],
      [0, 1],
    ]),
    true,
  );
  assert.equal(
    crossesItself([
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ]),
    false,
  );
  assert.equal(
    crossesItself([
      [0, 0],
      [0.5, 0.5],
      [1, 1],
    ]),
    true,
  );
});

test("in is to the right, looking along the line", () => {
  const [x, y] = inward([0.5, 1], [0.5, 0], 16 / 9);
  assert.ok(Math.abs(x - 1) < 1e-9 && Math.abs(y) < 1e-9);
});
