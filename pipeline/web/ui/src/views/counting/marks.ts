/** What was counted in the clip that is shown: a list of marks, so that the last can be undone. */

export type Direction = "in" | "out" | "one";

/** One press of a key, and where in the clip it was, in seconds. */
export interface Mark {
  direction: Direction;
  at: number;
}

/** A clip that is being counted. */
export interface Half {
  clip: string;
  marks: readonly Mark[];
  /** How far the clip was played, in seconds. */
  at: number;
}

export interface TallyBody {
  inwards: number | null;
  outwards: number | null;
  number: number | null;
}

const MOST = 999;

export function countOf(marks: readonly Mark[], direction: Direction): number {
  return marks.filter((mark) => mark.direction === direction).length;
}

/** With one more; beyond what can be said nothing is added. */
export function withMark(marks: readonly Mark[], mark: Mark): readonly Mark[] {
  return countOf(marks, mark.direction) < MOST ? [...marks, mark] : marks;
}

export function withoutLast(marks: readonly Mark[]): readonly Mark[] {
  return marks.slice(0, -1);
}

/** What is sent of a clip; null for one that cannot be told. */
export function tallyOf(marks: readonly Mark[] | null, hasDirections: boolean): TallyBody {
  if (marks === null) return { inwards: null, outwards: null, number: null };
  if (!hasDirections) return { inwards: null, outwards: null, number: countOf(marks, "one") };
  return { inwards: countOf(marks, "in"), outwards: countOf(marks, "out"), number: null };
}

const PREFIX = "moonwatch.count.";

/** Keep it in the browser; where it keeps nothing, a reload begins the clip anew. */
export function keepHalf(id: string, half: Half | null): void {
  try {
    if (half === null) localStorage.removeItem(PREFIX + id);
    else localStorage.setItem(PREFIX + id, JSON.stringify(half));
  } catch {
    // A private window or a full disk: what is sent of whole clips is kept by the server.
  }
}

export function readHalf(id: string): Half | null {
  try {
    return halfFrom(JSON.parse(localStorage.getItem(PREFIX + id) ?? "null"));
  } catch {
    return null;
  }
}

/** What was kept, if it is of this form. */
export function halfFrom(kept: unknown): Half | null {
  if (typeof kept !== "object" || kept === null) return null;
  const { clip, marks, at } = kept as Record<string, unknown>;
  if (typeof clip !== "string" || typeof at !== "number" || !Array.isArray(marks)) return null;
  const isMark = (one: unknown) => {
    const mark = one as Partial<Mark> | null;
    return typeof mark?.at === "number" && ["in", "out", "one"].includes(mark.direction ?? "");
  };
  return marks.every(isMark) ? { clip, marks: marks as Mark[], at } : null;
}

/** The first clip of which nothing was said, from a place on and then from the beginning. */
export function nextOpen(clips: readonly { is_judged: boolean }[], from = 0): number | null {
  const after = clips.findIndex((clip, at) => at >= from && !clip.is_judged);
  if (after >= 0) return after;
  const any = clips.findIndex((clip) => !clip.is_judged);
  return any >= 0 ? any : null;
}
