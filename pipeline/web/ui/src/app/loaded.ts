/** What a view reads from the server: loading, there, or failed; read again after an outage. */

import { type Signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { isAbandoned } from "../api/client.ts";
import { reconnections } from "./connection.ts";

export interface Loaded<T> {
  /** What was read last; stays while it is read again. */
  value: Signal<T | null>;
  failure: Signal<unknown>;
  /** Whether there is nothing to show yet. */
  isLoading: Signal<boolean>;
  again: () => void;
}

/** Reads when the view appears and whenever a value of `inputs` changes, and every so often. */
export function useLoaded<T>(
  read: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[] = [],
  everyMs?: number,
): Loaded<T> {
  const value = useSignal<T | null>(null);
  const failure = useSignal<unknown>(null);
  const reader = useRef(read);
  reader.current = read;
  const running = useRef<AbortController | null>(null);
  const again = useCallback(() => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    reader.current(controller.signal).then(
      (found) => {
        if (controller.signal.aborted) return;
        value.value = found;
        failure.value = null;
      },
      (error: unknown) => {
        if (controller.signal.aborted || isAbandoned(error)) return;
        failure.value = error;
      },
    );
  }, []);
  useEffect(() => {
    again();
    return () => running.current?.abort();
  }, inputs);
  useEffect(() => {
    if (!everyMs) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") again();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  const seen = useRef(reconnections.peek());
  useSignalEffect(() => {
    if (reconnections.value === seen.current) return;
    seen.current = reconnections.value;
    again();
  });
  const isLoading = useComputed(() => value.value === null && failure.value === null);
  return { value, failure, isLoading, again };
}
