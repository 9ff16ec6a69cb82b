/** Pages of tiles, what the keys do, how old is old, and trails. */

import type { Head, Point } from "./wire.ts";

export const PAGE_SIZES = [4, 9, 16, 25] as const;
export const DEFAULT_PAGE_SIZE = 16;
export const TRAIL_S = 5;
const OLD_S = 3;
/** A trail is of a thing that is still followed. */
const MOST_POINTS = 80;

/** The cameras of a page (from 0), and how many pages there are. */
export function pageOf<T>(all: readonly T[], size: number, page: number) {
  const pages = Math.max(1, Math.ceil(all.length / size));
  const current = Math.min(Math.max(0, page), pages - 1);
  return { shown: all.slice(current * size, (current + 1) * size), page: current, pages };
}

/** How many columns make tiles of pictures largest in a screen of this shape. */
export function columnsFor(
  count: number,
  width: number,
  height: number,
  aspect = 16 / 9,
): number {
  let best = 1;
  let bestWidth = 0;
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const rows = Math.ceil(count / columns);
    const tile = Math.min(width / columns, (height / rows) * aspect);
    if (tile > bestWidth + 0.5) {
      best = columns;
      bestWidth = tile;
    }
  }
  return best;
}

export type Age = "fresh" | "old" | "gone";

/** How old a picture is for its camera; `every` is the time between two frames, in seconds. */
export function ageOf(seconds: number, offlineAfter: number, every: number | null): Age {
  // Of a camera that is sampled every ten seconds a picture of eight is as it should be.
  const old = Math.max(OLD_S, (every ?? 0) * 2);
  if (seconds > Math.max(offlineAfter, old)) return "gone";
  return seconds > old ? "old" : "fresh";
}

export type Move = "left" | "right" | "up" | "down";

/** Where an arrow leads from a tile. */
export function moved(from: number, count: number, columns: number, move: Move): number {
  const step = { left: -1, right: 1, up: -columns, down: columns }[move];
  const to = from + step;
  return to < 0 || to >= count ? from : to;
}

interface TrailPoint {
  at: number;
  place: Point;
}

/** Where the feet of the followed things of one camera were in the last seconds. */
export class Trails {
  private run = "";
  private readonly tracks = new Map<string, TrailPoint[]>();

  /** Take a frame with what is known of it. */
  add(head: Head): void {
    if (head.run !== this.run) {
      this.run = head.run;
      this.tracks.clear();
    }
    for (const [label, track, , , , , , , x, y] of head.boxes) {
      if (track === null) continue;
      const key = `${label}/${track}`;
      const points = this.tracks.get(key) ?? [];
      this.tracks.set(key, points);
      if (points.at(-1)?.at === head.captured_at) continue;
      points.push({ at: head.captured_at, place: [x, y] });
      if (points.length > MOST_POINTS) points.shift();
    }
    for (const [key, points] of this.tracks) {
      while (points[0] && head.captured_at - points[0].at > TRAIL_S) points.shift();
      if (!points.length) this.tracks.delete(key);
    }
  }

  /** The trail of a thing, oldest first. */
  of(label: string, track: number): readonly Point[] {
    return (this.tracks.get(`${label}/${track}`) ?? []).map((one) => one.place);
  }
}

/** The one letter or digit that a key stands for; null while somebody writes. */
export function keyOf(event: {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  target: unknown;
}): string | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const element = event.target as { tagName?: string; isContentEditable?: boolean } | null;
  const tag = element?.tagName ?? "";
  if (element?.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(tag)) return null;
  return event.key;
}
