/** Which view belongs to which path, and which of them the navigation leads to. */

import type { ComponentType } from "preact";
import type { IconName } from "../parts/icon.tsx";

export interface ViewPlace {
  path: string;
  /** Key of its title in the navigation. */
  title: string;
  icon: IconName;
  /** What it takes to see it in the navigation. */
  permission: string;
  load: () => Promise<{ default: ComponentType }>;
}

/** In the order of the navigation; the first four are in the bar of a phone. */
export const PLACES: readonly ViewPlace[] = [
  {
    path: "/",
    title: "nav.today",
    icon: "today",
    permission: "look",
    load: () => import("../views/today/index.tsx"),
  },
  {
    path: "/live",
    title: "nav.live",
    icon: "live",
    permission: "media",
    load: () => import("../views/live/index.tsx"),
  },
  {
    path: "/events",
    title: "nav.events",
    icon: "events",
    permission: "look",
    load: () => import("../views/events/index.tsx"),
  },
  {
    path: "/numbers",
    title: "nav.numbers",
    icon: "numbers",
    permission: "look",
    load: () => import("../views/numbers/index.tsx"),
  },
  {
    path: "/edit",
    title: "nav.edit",
    icon: "edit",
    permission: "edit",
    load: () => import("../views/edit/index.tsx"),
  },
  {
    path: "/health",
    title: "nav.health",
    icon: "health",
    permission: "look",
    load: () => import("../views/health/index.tsx"),
  },
  {
    path: "/admin",
    title: "nav.admin",
    icon: "admin",
    permission: "administer",
    load: () => import("../views/admin/index.tsx"),
  },
];

const OTHERS: readonly Pick<ViewPlace, "path" | "load">[] = [
  { path: "/count", load: () => import("../views/counting/index.tsx") },
  { path: "/settings", load: () => import("../views/settings/index.tsx") },
  { path: "/sign-in", load: () => import("../views/sign-in/index.tsx") },
  { path: "/set-up", load: () => import("../views/sign-in/index.tsx") },
];

/** The place of a path: itself or, as for /edit/door, the one above it. */
export function placeOf<T extends { path: string }>(path: string, places: readonly T[]): T | null {
  const exact = places.find((place) => place.path === path);
  const above = places.find((place) => place.path !== "/" && path.startsWith(`${place.path}/`));
  return exact ?? above ?? null;
}

/** What is shown at a path; null where there is nothing. */
export function viewOf(path: string): Pick<ViewPlace, "path" | "load"> | null {
  return placeOf(path, [...PLACES, ...OTHERS]);
}
