/** What is asked for: only what is on the screen, and no more than the connection takes. */

import type { Bandwidth } from "../../app/settings.ts";
import type { Wish } from "./wire.ts";

/** Pictures a second; no camera is sampled more often. */
const FULL_FPS = 15;
const LOW_FPS = 1;
const STILL_FPS = 0.1;
const NARROWEST = 64;

export interface OnScreen {
  camera: string;
  /** Of the tile, in CSS pixels. */
  width: number;
}

/** What to ask for. `isStrained` says that this connection has just lost pictures. */
export function wishesFor(
  tiles: readonly OnScreen[],
  bandwidth: Bandwidth,
  pixelRatio: number,
  isStrained: boolean,
): Wish[] {
  const isLow = bandwidth !== "auto" || isStrained;
  const fps = bandwidth === "still" ? STILL_FPS : isLow ? LOW_FPS : FULL_FPS;
  // More than two pixels for one of CSS are not seen.
  const scale = Math.min(pixelRatio, 2) * (isLow ? 0.5 : 1);
  return tiles
    .filter((tile) => tile.width > 0)
    .map(({ camera, width }) => ({
      camera,
      width: Math.max(NARROWEST, Math.round(width * scale)),
      fps,
    }));
}

/** Whether two lists ask for the same; a few pixels more or less are the same. */
export function isSame(a: readonly Wish[], b: readonly Wish[]): boolean {
  return (
    a.length === b.length &&
    a.every((wish, index) => {
      const other = b[index];
      return (
        other !== undefined &&
        wish.camera === other.camera &&
        wish.fps === other.fps &&
        Math.abs(wish.width - other.width) < 8
      );
    })
  );
}

const METER_MS = 5_000;

/** Bytes a second over the last seconds. */
export class Meter {
  private readonly past: [number, number][] = [];
  /** Of everything since the page was opened. */
  total = 0;

  add(at: number, bytes: number): void {
    this.total += bytes;
    this.past.push([at, bytes]);
    this.trim(at);
  }

  perSecond(at: number): number {
    this.trim(at);
    return this.past.reduce((sum, [, bytes]) => sum + bytes, 0) / (METER_MS / 1000);
  }

  private trim(at: number): void {
    while (this.past[0] && at - this.past[0][0] > METER_MS) this.past.shift();
  }
}

const STRAIN_MS = 20_000;
/** The share of pictures lost on the way that is no accident. */
const STRAIN_SHARE = 0.25;
const STRAIN_LEAST = 6;

/** Notices that the connection loses pictures, and for how long less is asked for. */
export class Strain {
  private drops = 0;
  private came = 0;
  private since = 0;
  private until = 0;

  /** A picture has come; `drops` were lost since the connection began. */
  note(drops: number, at: number): void {
    if (drops < this.drops || at - this.since > METER_MS) {
      this.since = at;
      this.drops = drops;
      this.came = 0;
    }
    this.came += 1;
    const lost = drops - this.drops;
    if (lost >= STRAIN_LEAST && lost / (lost + this.came) > STRAIN_SHARE) {
      this.until = at + STRAIN_MS;
    }
  }

  isOn(at: number): boolean {
    return at < this.until;
  }
}
