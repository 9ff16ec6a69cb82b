/** How long to wait before the next try. */

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/** Doubles from 1 s to 30 s; `chance` (0..1) spreads browsers by up to a fifth. */
export function nextWaitMs(tries: number, chance: number): number {
  const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
  return Math.round(wait * (1 - chance / 5));
}
