/** Points, lines and polygons in 0..1 of the picture. */

export type XY = [number, number];

/** Coordinates are written with so many decimals: a tenth of a pixel in a picture of 1000. */
const DECIMALS = 4;
/** So near to the edge of the picture a point is taken to be on it. */
export const SNAP = 0.012;

export function rounded(value: number): number {
  return Number(value.toFixed(DECIMALS));
}

/** Within the picture, and as it is written. */
export function placed([x, y]: XY): XY {
  return [rounded(Math.min(Math.max(x, 0), 1)), rounded(Math.min(Math.max(y, 0), 1))];
}

/** On the edge of the picture where it is near it. */
export function snapped([x, y]: XY, within = SNAP): XY {
  const snap = (value: number) => (value < within ? 0 : value > 1 - within ? 1 : value);
  return [snap(x), snap(y)];
}

/** All points moved by the same, as far as all stay in the picture. */
export function moved(points: readonly XY[], dx: number, dy: number): XY[] {
  const limit = (values: number[], step: number) =>
    Math.min(Math.max(step, -Math.min(...values)), 1 - Math.max(...values));
  const x = limit(
    points.map((point) => point[0]),
    dx,
  );
  const y = limit(
    points.map((point) => point[1]),
    dy,
  );
  return points.map(([a, b]) => placed([a + x, b + y]));
}

export function middle([ax, ay]: XY, [bx, by]: XY): XY {
  return [(ax + bx) / 2, (ay + by) / 2];
}

/** A polygon with a point more, in the middle of the edge that begins at `index`. */
export function withInserted(points: readonly XY[], index: number, at?: XY): XY[] {
  const a = points[index];
  const b = points[(index + 1) % points.length];
  if (!a || !b) return [...points];
  return [...points.slice(0, index + 1), placed(at ?? middle(a, b)), ...points.slice(index + 1)];
}

function turn(a: XY, b: XY, c: XY): number {
  return Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
}

function isBetween(a: XY, b: XY, c: XY): boolean {
  return (
    Math.min(a[0], b[0]) <= c[0] &&
    c[0] <= Math.max(a[0], b[0]) &&
    Math.min(a[1], b[1]) <= c[1] &&
    c[1] <= Math.max(a[1], b[1])
  );
}

/** Whether two pieces of a line have a point in common. */
export function meet(a: XY, b: XY, c: XY, d: XY): boolean {
  const [one, two, three, four] = [turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b)];
  if (one !== two && three !== four) return true;
  return (
    (one === 0 && isBetween(a, b, c)) ||
    (two === 0 && isBetween(a, b, d)) ||
    (three === 0 && isBetween(c, d, a)) ||
    (four === 0 && isBetween(c, d, b))
  );
}

export function doubledArea(points: readonly XY[]): number {
  return points.reduce((sum, [ax, ay], index) => {
    const [bx, by] = points[(index + 1) % points.length] ?? [ax, ay];
    return sum + ax * by - bx * ay;
  }, 0);
}

/** The first two edges that meet and are not neighbours, by the corners that they begin at. */
export function meetingEdges(points: readonly XY[]): [number, number] | null {
  const size = points.length;
  for (let i = 0; i < size; i += 1) {
    for (let j = i + 2; j < size; j += 1) {
      if (i === 0 && j === size - 1) continue;
      const [a, b] = [points[i], points[i + 1]];
      const [c, d] = [points[j], points[(j + 1) % size]];
      if (a && b && c && d && meet(a, b, c, d)) return [i, j];
    }
  }
  return null;
}

/** Whether edges that are not neighbours meet, or the polygon has no area. */
export function crossesItself(points: readonly XY[]): boolean {
  return meetingEdges(points) !== null || Math.abs(doubledArea(points)) < 1e-9;
}

/** The direction of `in`: looking from its start to its end, to the right; of length 1 in pixels. */
export function inward([ax, ay]: XY, [bx, by]: XY, aspect: number): XY {
  const [x, y] = [(bx - ax) * aspect, by - ay];
  const length = Math.hypot(x, y) || 1;
  return [-y / length, x / length];
}
