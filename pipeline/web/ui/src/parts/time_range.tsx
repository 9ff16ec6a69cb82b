/** Chooses a span of time: a preset of whole days, or from and to. */

import { useSignal } from "@preact/signals";
import { t } from "../app/language.ts";
import { now } from "../app/session.ts";
import { fromInput, inputValue, type Preset, type Span, spanOf } from "../app/times.ts";
import { Button } from "./button.tsx";
import { Choice, TextField } from "./field.tsx";
import type { Range } from "./range.ts";

export { type Range, rangeFromText, rangeToText } from "./range.ts";

/** What a range is at this moment. */
export function spanOfRange(range: Range, timezone: string): Span {
  return typeof range === "string" ? spanOf(range, now(), timezone) : range;
}

export function TimeRange({
  value,
  timezone,
  presets = ["today", "yesterday", "week", "month"],
  onValue,
}: {
  value: Range;
  timezone: string;
  presets?: readonly Preset[];
  onValue: (range: Range) => void;
}) {
  const isTyping = useSignal(typeof value !== "string");
  const chosen = isTyping.value || typeof value !== "string" ? "custom" : value;
  return (
    <div class="time-range">
      <Choice
        label={t("range.label")}
        hideLabel
        value={chosen}
        options={[...presets, "custom" as const].map((one) => ({
          value: one,
          label: t(`range.${one}`),
        }))}
        onValue={(one) => {
          isTyping.value = one === "custom";
          if (one !== "custom") onValue(one);
        }}
      />
      {chosen === "custom" && <FromTo value={value} timezone={timezone} onValue={onValue} />}
    </div>
  );
}

function FromTo({
  value,
  timezone,
  onValue,
}: {
  value: Range;
  timezone: string;
  onValue: (range: Range) => void;
}) {
  const span = spanOfRange(value, timezone);
  const from = useSignal(inputValue(span.since, timezone));
  const to = useSignal(inputValue(span.until, timezone));
  const problem = useSignal<string | null>(null);
  return (
    <form
      class="from-to"
      onSubmit={(event) => {
        event.preventDefault();
        const since = fromInput(from.value, timezone);
        const until = fromInput(to.value, timezone);
        const isRight = since !== null && until !== null && since < until;
        problem.value = isRight ? null : t("range.wrong");
        if (isRight) onValue({ since, until });
      }}
    >
      <TextField
        label={t("range.from")}
        type="datetime-local"
        value={from.value}
        onValue={(text) => {
          from.value = text;
        }}
      />
      <TextField
        label={t("range.to")}
        type="datetime-local"
        value={to.value}
        problem={problem.value}
        onValue={(text) => {
          to.value = text;
        }}
      />
      <Button type="submit">{t("range.apply")}</Button>
    </form>
  );
}
