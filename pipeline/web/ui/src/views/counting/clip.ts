/** Reads clips whole, the next one while this one is looked at: the server cuts them on demand. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ApiError, call } from "../../api/client.ts";

const DEADLINE_MS = 120_000;

export type Clip =
  | { state: "loading" }
  | { state: "there"; url: string; isPicture: boolean }
  | { state: "missing" }
  | { state: "failed"; error: unknown };

const LOADING: Clip = { state: "loading" };

/** The clip of this name, and a way to try again. */
export function useClip(
  id: string,
  name: string | undefined,
  following: string | undefined,
): { clip: Clip; again: () => void } {
  const clip = useSignal<Clip & { of?: string }>(LOADING);
  const tries = useSignal(0);
  const read = useRef(new Map<string, Promise<Blob>>());
  const blobOf = (wanted: string) => {
    const found = read.current.get(wanted) ?? fetched(id, wanted);
    read.current.set(wanted, found);
    found.catch(() => read.current.delete(wanted));
    return found;
  };
  useEffect(() => {
    if (name === undefined) return;
    let isLeft = false;
    let url: string | null = null;
    clip.value = LOADING;
    blobOf(name).then(
      (blob) => {
        if (isLeft) return;
        url = URL.createObjectURL(blob);
        clip.value = {
          state: "there",
          of: name,
          url,
          isPicture: blob.type.startsWith("image/"),
        };
        for (const one of read.current.keys()) if (one !== name) read.current.delete(one);
        if (following !== undefined) blobOf(following).catch(() => {});
      },
      (error: unknown) => {
        if (isLeft) return;
        const isGone = error instanceof ApiError && error.status === 404;
        clip.value = isGone
          ? { state: "missing", of: name }
          : { state: "failed", of: name, error };
      },
    );
    return () => {
      isLeft = true;
      if (url) URL.revokeObjectURL(url);
    };
  }, [id, name, tries.value]);
  return {
    // Until the effect has run, it is still the clip before.
    clip: clip.value.of === name ? clip.value : LOADING,
    again: () => {
      tries.value += 1;
    },
  };
}

async function fetched(id: string, name: string): Promise<Blob> {
  const path = `/audits/${encodeURIComponent(id)}/clips/${encodeURIComponent(name)}`;
  const answer = await call("GET", path, undefined, { deadlineMs: DEADLINE_MS });
  return await answer.blob();
}
