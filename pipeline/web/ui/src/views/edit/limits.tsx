/** How many events other limits of a rule would give, with the limit as a mark to be dragged. */

import { useSignal } from "@preact/signals";
import { post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { number, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { sentenceOf } from "../../parts/states.tsx";
import { secondsOf } from "./histogram.tsx";
import { bars, type Mark, placeOf, type Unit, writtenLimit } from "./limits.ts";
import { changedParts, type Json } from "./model.ts";
import type { EditorState } from "./store.ts";

type Marks = components["schemas"]["LimitMarks"];

const LONG_MS = 90_000;

export function LimitMarks({
  state,
  rule,
  field,
  span,
  onLimit,
}: {
  state: EditorState;
  rule: string;
  /** The key of the limit, such as `more_than`. */
  field: string;
  span: { since: number; until: number } | undefined;
  onLimit: (value: Json) => void;
}) {
  const draft = state.draft.value;
  const settings = draft.rules[rule] ?? {};
  const limit = numberOf(settings[field]);
  const others = Object.entries(settings).filter(([key]) => key !== field);
  const dragged = useSignal<number | null>(null);
  const around = useSignal(limit);
  const asked = useLoaded<Marks | null>(
    async (signal) => {
      if (!span) return null;
      const edit = changedParts(state.draft.peek(), state.original.peek());
      const { since, until } = span;
      const body = { ...edit, camera: state.camera, rule, key: field, since, until };
      return post<Marks>("/simulate/limits", body, { signal, deadlineMs: LONG_MS });
    },
    [rule, field, JSON.stringify([others, draft.zones, draft.lines, draft.tasks]), around.value, span?.since],
  );
  const found = asked.value.value;
  const place = found ? placeOf(found.marks, limit) : -1;
  if (found && place < 0 && limit !== null && around.peek() !== limit) around.value = limit;
  if (asked.failure.value) return <p class="edit-muted">{sentenceOf(asked.failure.value)}</p>;
  if (!found || place < 0) return <p class="edit-muted">{t("edit.trying_limits")}</p>;
  const unit: Unit = found.unit;
  const here = dragged.value ?? place;
  const said = (mark: Mark | undefined) =>
    mark ? t("edit.mark", { at: textOf(mark.limit, unit), n: number(mark.events, 0) }) : "";
  const label = field.replaceAll("_", " ");
  const heights = bars(found.marks);
  return (
    <figure class="edit-histogram" data-limit={field}>
      <svg viewBox={`0 0 ${found.marks.length} 10`} preserveAspectRatio="none" aria-hidden="true">
        {heights.map((height, index) => (
          <rect
            key={index}
            class={index === here ? "edit-bar-here" : "edit-bar-there"}
            x={index + 0.08}
            width={0.84}
            y={10 - height * 9.5}
            height={height * 9.5}
          />
        ))}
        <line class="edit-limit" x1={here + 0.5} x2={here + 0.5} y1="0" y2="10" />
      </svg>
      <label class="edit-limit-label">
        <span>{label}</span>
        <input
          type="range"
          min={0}
          max={found.marks.length - 1}
          step={1}
          value={here}
          aria-valuetext={said(found.marks[here])}
          onInput={(event) => (dragged.value = event.currentTarget.valueAsNumber)}
          onChange={(event) => {
            dragged.value = null;
            const mark = found.marks[event.currentTarget.valueAsNumber];
            if (mark) onLimit(writtenLimit(mark.limit, unit));
          }}
        />
      </label>
      <figcaption>
        {[said(found.marks[here]), said(found.marks[here + 1])].filter(Boolean).join("; ")}
      </figcaption>
      {found.cut_short && <p class="field-problem">{found.cut_short}</p>}
    </figure>
  );
}

function numberOf(value: Json | undefined): number | null {
  return typeof value === "number" ? value : secondsOf(value);
}

function textOf(limit: number, unit: Unit): string {
  return unit === "number" ? number(limit, 0) : `${number(limit, limit % 1 ? 1 : 0)} ${unit}`;
}
