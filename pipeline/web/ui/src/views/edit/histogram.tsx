/** How long visits lasted, with the limit among them: at 30 s 14 events, at 45 s 6. */

import { useSignal } from "@preact/signals";
import { isAbandoned, post } from "../../api/client.ts";
import { useLoaded } from "../../app/loaded.ts";
import { t } from "../../app/language.ts";
import { sentenceOf } from "../../parts/states.tsx";
import type { Histogram as Visits } from "./api.ts";
import { changedParts, type Json } from "./model.ts";
import type { EditorState } from "./store.ts";

const BINS = 24;
const LONG_MS = 90_000;

/** Seconds of 90, `30s`, `2m` or `1h 30m`; null where it says something else. */
export function secondsOf(value: Json | undefined): number | null {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return null;
  const units: Record<string, number> = { ms: 0.001, s: 1, m: 60, min: 60, h: 3600, d: 86400 };
  let sum = 0;
  let rest = value.trim();
  if (!rest) return null;
  while (rest) {
    const found = /^(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)\s*/.exec(rest);
    const unit = units[found?.[2] ?? ""];
    if (!found || unit === undefined) return null;
    sum += Number(found[1]) * unit;
    rest = rest.slice(found[0].length);
  }
  return sum;
}

export function Histogram({
  state,
  rule,
  span,
  limit,
  onLimit,
}: {
  state: EditorState;
  rule: string;
  span: { since: number; until: number } | undefined;
  limit: Json | undefined;
  onLimit: (value: string) => void;
}) {
  const draft = state.draft.value;
  const dragged = useSignal<number | null>(null);
  const zone = String(draft.rules[rule]?.["zone"] ?? "");
  const visits = useLoaded<Visits | null>(
    async (signal) => {
      if (!span) return null;
      const edit = changedParts(state.draft.peek(), state.original.peek());
      const asked = { ...edit, camera: state.camera, rule, since: span.since, until: span.until };
      try {
        return await post<Visits>("/simulate/visits", asked, { signal, deadlineMs: LONG_MS });
      } catch (error) {
        if (isAbandoned(error)) throw error;
        throw error;
      }
    },
    [rule, zone, JSON.stringify(draft.zones[zone]), span?.since],
  );
  const found = visits.value.value;
  if (visits.failure.value) return <p class="edit-muted">{sentenceOf(visits.failure.value)}</p>;
  if (!found) return <p class="edit-muted">{t("edit.measuring")}</p>;
  if (found.seconds.length === 0) return <p class="edit-muted">{t("edit.no_visits")}</p>;
  const now = dragged.value ?? secondsOf(limit) ?? 0;
  const most = Math.max(found.seconds[0] ?? 1, now, 1);
  const top = Math.ceil(most * 1.05);
  const bins = Array.from({ length: BINS }, () => 0);
  for (const seconds of found.seconds) {
    const bin = Math.min(BINS - 1, Math.floor((seconds / top) * BINS));
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  const highest = Math.max(...bins);
  const count = (at: number) => found.seconds.filter((seconds) => seconds >= at).length;
  const round = (value: number) => (top > 120 ? Math.round(value / 5) * 5 : Math.round(value * 2) / 2);
  return (
    <figure class="edit-histogram">
      <svg viewBox={`0 0 ${BINS} 10`} preserveAspectRatio="none" aria-hidden="true">
        {bins.map((size, index) => (
          <rect
            key={index}
            class={((index + 0.5) / BINS) * top >= now ? "edit-bar-here" : "edit-bar-there"}
            x={index + 0.08}
            width={0.84}
            y={10 - (size / highest) * 9.5}
            height={(size / highest) * 9.5}
          />
        ))}
        <line class="edit-limit" x1={(now / top) * BINS} x2={(now / top) * BINS} y1="0" y2="10" />
      </svg>
      <label class="edit-limit-label">
        <span>{t("edit.limit")}</span>
        <input
          type="range"
          min={0}
          max={top}
          step={top > 120 ? 5 : 0.5}
          value={now}
          aria-valuetext={t("edit.limit_count", { at: round(now), n: count(now) })}
          onInput={(event) => (dragged.value = round(event.currentTarget.valueAsNumber))}
          onChange={(event) => {
            dragged.value = null;
            onLimit(`${round(event.currentTarget.valueAsNumber)}s`);
          }}
        />
      </label>
      <figcaption>
        {t("edit.limit_count", { at: round(now), n: count(now) })}
        {"; "}
        {t("edit.limit_count", { at: round(now * 1.5 || 10), n: count(now * 1.5 || 10) })}
      </figcaption>
    </figure>
  );
}
