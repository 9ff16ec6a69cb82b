/** Whether the server answers; asks it again, ever more slowly, while it does not. */

import { signal } from "@preact/signals";
import { nextWaitMs } from "./backoff.ts";

/** False from the first call without an answer until the next with one. */
export const isConnected = signal(true);
/** When it is asked again, in milliseconds since 1970; null while it is being asked. */
export const nextTryAt = signal<number | null>(null);
/** Counts how often the connection came back: views read what they missed. */
export const reconnections = signal(0);

const DEADLINE_MS = 5_000;
let tries = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

export function noteAnswer(): void {
  if (isConnected.value) return;
  clearTimeout(timer);
  tries = 0;
  nextTryAt.value = null;
  isConnected.value = true;
  reconnections.value += 1;
}

export function noteSilence(): void {
  if (!isConnected.value) return;
  isConnected.value = false;
  wait();
}

/** Ask at once. */
export async function tryNow(): Promise<void> {
  clearTimeout(timer);
  nextTryAt.value = null;
  try {
    const options = { cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) } as const;
    const answer = await fetch("/healthz", options);
    if (answer.ok) return noteAnswer();
  } catch {
    // Still away.
  }
  tries += 1;
  wait();
}

function wait(): void {
  const ms = nextWaitMs(tries, Math.random());
  nextTryAt.value = Date.now() + ms;
  clearTimeout(timer);
  timer = setTimeout(tryNow, ms);
}

if (typeof window !== "undefined") {
  window.addEventListener("offline", noteSilence);
  window.addEventListener("online", () => {
    if (!isConnected.value) void tryNow();
  });
}
