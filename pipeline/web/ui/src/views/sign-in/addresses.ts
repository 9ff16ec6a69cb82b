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
