/** Which view the address names; links within the application do not load the page again. */

import { computed, signal } from "@preact/signals";

const here = () =>
  typeof location === "undefined" ? "/" : location.pathname + location.search;

const current = signal(here());

/** The path of the address, such as /events. */
export const path = computed(() => current.value.split("?", 1)[0] ?? "/");
/** The parameters of the address. */
export const query = computed(() => new URLSearchParams(current.value.split("?")[1] ?? ""));

/** Go to an address of the application, such as /events?camera=door. */
export function go(to: string, options: { replace?: boolean } = {}): void {
  if (to === here()) return;
  if (options.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  current.value = here();
}

/** Change parameters of the address, without a step in the history; null removes one. */
export function setQuery(changes: Record<string, string | null>): void {
  const parameters = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) parameters.delete(name);
    else parameters.set(name, value);
  }
  const text = parameters.toString();
  go(text ? `${path.value}?${text}` : path.value, { replace: true });
}

/** Follow the address from now on. */
export function startRouter(): void {
  addEventListener("popstate", () => {
    current.value = here();
  });
  addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || link.target || link.hasAttribute("download")) return;
    if (link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
    if (link.hash && link.pathname === location.pathname) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
