/** What the address of a visit says. */

/** Where to go after signing in: only to a place of the application itself. */
export function nextOf(wanted: string | null): string {
  if (!wanted || !/^\/(?![/\\])[^\\]*$/.test(wanted)) return "/";
  return /^\/(sign-in|set-up)([/?]|$)/.test(wanted) ? "/" : wanted;
}

/** The secret of a link, which stands behind the #, where no server sees it. */
export function secretOf(hash: string, name?: string): string | null {
  const text = hash.replace(/^#/, "");
  const prefix = name ? `${name}=` : "";
  const secret = text.startsWith(prefix) ? text.slice(prefix.length) : "";
  return /^[0-9A-Za-z]{43}$/.test(secret) ? secret : null;
}

/** Why somebody comes back from the provider without being signed in, as the server names it. */
export type Problem = (typeof PROBLEMS)[number];
const PROBLEMS = [
  "away",
  "busy",
  "stale",
  "refused",
  "unproven",
  "no_role",
  "too_many",
] as const;

/** That reason, from the address; null for none, and for what the server does not say. */
export function problemOf(said: string | null): Problem | null {
  return PROBLEMS.find((one) => one === said) ?? null;
}

/** Where signing in at the provider begins, to end at a place of the application. */
export function beginAt(url: string, next: string): string {
  return next === "/" ? url : `${url}?next=${encodeURIComponent(next)}`;
}
