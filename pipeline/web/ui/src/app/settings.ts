/** What somebody chose for this browser: kept here alone, never on the server. */

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
export type Language = "en" | "de";
export type Bandwidth = "auto" | "low" | "still";

interface Kept {
  theme: Theme;
  language: Language | "system";
  bandwidth: Bandwidth;
  keys: boolean;
}

const KEY = "moonwatch";

function kept(): Partial<Kept> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Kept>;
  } catch {
    return {};
  }
}

function chosen<T extends string>(value: unknown, allowed: readonly T[], otherwise: T): T {
  return allowed.find((one) => one === value) ?? otherwise;
}

const before = typeof localStorage === "undefined" ? {} : kept();

export const theme = signal(
  chosen(before.theme, ["system", "light", "dark"] as const, "system"),
);
export const languageChoice = signal(
  chosen(before.language, ["system", "en", "de"] as const, "system"),
);
export const bandwidth = signal(
  chosen(before.bandwidth, ["auto", "low", "still"] as const, "auto"),
);
/** Whether single keys do something. */
export const areKeysOn = signal(before.keys !== false);

/** Apply what is chosen, and keep it from now on. */
export function startSettings(): void {
  effect(() => {
    const root = document.documentElement;
    if (theme.value === "system") delete root.dataset["theme"];
    else root.dataset["theme"] = theme.value;
  });
  effect(() => {
    const now: Kept = {
      theme: theme.value,
      language: languageChoice.value,
      bandwidth: bandwidth.value,
      keys: areKeysOn.value,
    };
    try {
      localStorage.setItem(KEY, JSON.stringify(now));
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
  });
}
