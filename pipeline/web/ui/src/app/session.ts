/** Who looks, and at what: the site with its cameras. */

import { computed, signal } from "@preact/signals";
import { get, onSignedOut } from "../api/client.ts";
import type { components } from "../api/schema.d.ts";
import { renewPush } from "./push.ts";
import { go, path } from "./router.ts";

export type Site = components["schemas"]["SiteInfo"];
export type Camera = Site["cameras"][number];

/** Null until it was read. */
export const site = signal<Site | null>(null);
/** Why it could not be read. */
export const siteFailure = signal<unknown>(null);
/** Seconds that the clock of the server is ahead of the browser's. */
export const clockAhead = signal(0);

/** Views that anybody may see. */
const OPEN_VIEWS: readonly string[] = ["/sign-in", "/set-up"];
export const isOpenView = computed(() => OPEN_VIEWS.includes(path.value));

/** Read the site, again after signing in or out. */
export async function readSite(): Promise<void> {
  try {
    const found = await get<Site>("/site");
    clockAhead.value = found.now - Date.now() / 1000;
    site.value = found;
    siteFailure.value = null;
    // Nothing depends on it: it is tried again as the page is opened next time.
    renewPush(found.visitor, found.permissions.includes("account")).catch(() => {});
  } catch (error) {
    siteFailure.value = error;
  }
}

/** UTC seconds by the server's clock. */
export function now(): number {
  return Date.now() / 1000 + clockAhead.value;
}

/** Where a span of time ends that nobody chose: now, or where recordings of the past end. */
export function upTo(lengthS: number): number {
  const end = site.value?.recorded_until ?? null;
  const until = end !== null && end < now() - lengthS ? end + lengthS / 50 : now();
  return Math.ceil(until / 60) * 60;
}

/** Whether whoever looks may do this, such as "edit". */
export function may(permission: string): boolean {
  return site.value?.permissions.includes(permission) ?? false;
}

/** The zone in which a camera's times are shown; the site's without one. */
export function timezone(camera?: string): string {
  const found = site.value?.cameras.find((one) => one.name === camera);
  return found?.timezone ?? site.value?.timezone ?? "UTC";
}

export function startSession(): void {
  onSignedOut(() => {
    site.value = null;
    if (isOpenView.value) return;
    const next = location.pathname + location.search;
    go(next === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(next)}`, { replace: true });
  });
  if (!isOpenView.value) void readSite();
}
