/** Keys that do something while a view is open; `?` lists them. They can be turned off. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { areKeysOn } from "./settings.ts";

export interface Key {
  /** As `KeyboardEvent.key` has it, such as "j", "?" or "ArrowLeft"; several do the same. */
  keys: readonly string[];
  /** What it does, in words. */
  label: string;
  act: (event: KeyboardEvent) => void;
}

interface Group {
  id: number;
  title: string;
  keys: () => readonly Key[];
}

/** The groups of keys that work now, those of the view last. */
export const keyGroups = signal<readonly Group[]>([]);
let last = 0;

/** Keys that work while the component is shown; they are those of the last rendering. */
export function useKeys(title: string, keys: readonly Key[]): void {
  const now = useRef(keys);
  now.current = keys;
  useEffect(() => {
    last += 1;
    const id = last;
    keyGroups.value = [...keyGroups.value, { id, title, keys: () => now.current }];
    return () => {
      keyGroups.value = keyGroups.value.filter((group) => group.id !== id);
    };
  }, [title]);
}

/** Whether a key belongs to what has the focus, such as a field. */
function isTaken(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return true;
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest("input, textarea, select, [contenteditable], [role=tab]")) {
    const isChoice = target.matches("input[type=checkbox], input[type=radio]");
    if (!isChoice || event.key.startsWith("Arrow") || event.key === " ") return true;
  }
  // What is behind a dialog has to wait for it.
  const open = document.querySelector("dialog[open]");
  return open !== null;
}

/** Listen from now on. */
export function startKeys(): void {
  addEventListener("keydown", (event) => {
    if (!areKeysOn.value || isTaken(event)) return;
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    for (const group of [...keyGroups.value].reverse()) {
      const found = group.keys().find((key) => key.keys.includes(pressed));
      if (!found) continue;
      event.preventDefault();
      found.act(event);
      return;
    }
  });
}

const NAMES: Record<string, string> = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
  " ": "␣",
};

/** How a key is written. */
export function keyName(key: string): string {
  return NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}
