/** What the timeline reckons before it draws. */

export interface Bins {
  since: number;
  bin_s: number;
  bins: number;
}

/** A run of bins of which something is not known. */
export interface Gap {
  first: number;
  /** How many bins. */
  length: number;
  /** The known share of them together, 0..1. */
  known: number;
}

/** Less than this is hatched: a minute that began late is no gap. */
const WHOLE = 0.95;

/** Where something is not known, neighbours as one; what is to come is no gap. */
export function gapsOf(known: readonly (number | null)[]): Gap[] {
  const gaps: Gap[] = [];
  let open: Gap | null = null;
  known.forEach((share, place) => {
    if (share === null || share >= WHOLE) {
      open = null;
      return;
    }
    if (open) {
      open.known = (open.known * open.length + share) / (open.length + 1);
      open.length += 1;
    } else {
      open = { first: place, length: 1, known: share };
      gaps.push(open);
    }
  });
  return gaps;
}

/** The span of the bins between two places, in UTC seconds; either may come first. */
export function spanBetween(bins: Bins, one: number, other: number): [number, number] {
  const first = Math.max(0, Math.min(one, other));
  const last = Math.min(bins.bins - 1, Math.max(one, other));
  return [bins.since + first * bins.bin_s, bins.since + (last + 1) * bins.bin_s];
}

/** The bin at a share (0..1) of the width. */
export function binAt(bins: Bins, share: number): number {
  return Math.max(0, Math.min(bins.bins - 1, Math.floor(share * bins.bins)));
}

/** How high a bar is, 0..1: by the root, so that one beside hundred can be seen. */
export function heightOf(count: number, most: number): number {
  return count <= 0 || most <= 0 ? 0 : Math.max(0.14, Math.sqrt(count / most));
}

const STEPS_S = [300, 900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600];
const DAY_S = 86_400;

/** Moments to write beside the axis: at most so many, at round times of the zone. */
export function ticksOf(
  since: number,
  until: number,
  most: number,
  startOfDay: (seconds: number, later: number) => number,
): number[] {
  const length = until - since;
  const step = STEPS_S.find((one) => length / one <= most);
  const ticks: number[] = [];
  if (step) {
    // From midnight of the zone on, so that clock changes do not shift them.
    for (let later = 0; later < 3; later += 1) {
      const day = startOfDay(since, later);
      const next = startOfDay(since, later + 1);
      for (let at = day; at < next && at < until; at += step) if (at >= since) ticks.push(at);
    }
    return ticks;
  }
  const days = Math.ceil(length / DAY_S / most);
  for (let later = 0; ; later += days) {
    const at = startOfDay(since, later);
    if (at >= until) return ticks;
    if (at >= since) ticks.push(at);
  }
}

/** The same length so many times longer or shorter around its middle, not beyond `latest`. */
export function zoomed(
  since: number,
  until: number,
  factor: number,
  latest: number,
  limits: [number, number],
): [number, number] {
  const length = Math.max(limits[0], Math.min(limits[1], (until - since) * factor));
  const middle = (since + until) / 2;
  const end = Math.min(latest, middle + length / 2);
  return [end - length, end];
}
