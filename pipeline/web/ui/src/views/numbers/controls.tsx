/** Chooses time, rules and steps; all of it is in the address. */

import { useSignal } from "@preact/signals";
import type { components } from "../../api/schema.d.ts";
import { t, tn } from "../../app/language.ts";
import { setQuery } from "../../app/router.ts";
import { Button, IconButton } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Checkbox, Choice, SelectField, TextField } from "../../parts/field.tsx";
import { type Days, isDay, kindOf, periodOf, shifted } from "./days.ts";
import { nameOf } from "./lines.ts";
import { typeName } from "./words.ts";

type Answer = components["schemas"]["NumbersAnswer"];
type Kind = "day" | "week" | "month" | "days";

const NO_MOMENTS = { since: null, until: null };
const STEPS = ["15m", "1h", "1d", "1w"] as const;

export function PeriodControls({ days, period }: { days: Days; period: string }) {
  const isTyping = useSignal(false);
  const kind: Kind = isTyping.value ? "days" : (kindOf(days) ?? "days");
  const show = (one: Days) => setQuery({ ...one, ...NO_MOMENTS, step: null });
  return (
    <div class="controls-row">
      <Choice
        label={t("numbers.period")}
        hideLabel
        value={kind}
        options={(["day", "week", "month", "days"] as const).map((one) => ({
          value: one,
          label: t(`numbers.${one}`),
        }))}
        onValue={(one) => {
          isTyping.value = one === "days";
          if (one !== "days") show(periodOf(one, days.last));
        }}
      />
      <div class="steps-beside">
        <IconButton icon="left" label={t("numbers.before")} onClick={() => show(shifted(days, -1))} />
        <strong>{period}</strong>
        <IconButton icon="right" label={t("numbers.after")} onClick={() => show(shifted(days, 1))} />
      </div>
      {kind === "days" && (
        <div class="from-to">
          {(["first", "last"] as const).map((which) => (
            <DayField
              key={`${which} ${days[which]}`}
              label={t(which === "first" ? "numbers.from" : "numbers.to")}
              value={days[which]}
              onDay={(day) => {
                const found = { ...days, [which]: day };
                if (found.first > found.last) found[which === "first" ? "last" : "first"] = day;
                show(found);
              }}
            />
          ))}
        </div>
      )}
    </div>
  );
}

function DayField({ label, value, onDay }: { label: string; value: string; onDay: (day: string) => void }) {
  const typed = useSignal(value);
  return (
    <TextField
      label={label}
      type="date"
      value={typed.value}
      onValue={(text) => {
        typed.value = text;
        // A year is typed digit by digit.
        if (isDay(text) && text >= "1971-01-01" && text !== value) onDay(text);
      }}
    />
  );
}

export function StepControls({ answer, step }: { answer: Answer; step: string | null }) {
  return (
    <div class="controls-row">
      <SelectField
        label={t("numbers.step")}
        value={step ?? "auto"}
        options={["auto", ...STEPS, ...(step === "1m" ? ["1m"] : [])].map((value) => ({
          value,
          label: t(`numbers.step.${value}`),
        }))}
        onValue={(value) => setQuery({ step: value === "auto" ? null : value })}
      />
      <RuleChoice answer={answer} />
      {answer.sites.some((one) => one.has_hours) && (
        <Checkbox
          label={t("numbers.only_open")}
          checked={answer.only_open}
          onChecked={(checked) => setQuery({ open: checked ? null : "0" })}
        />
      )}
      <Checkbox
        label={t("numbers.compare")}
        checked={answer.before !== null}
        onChecked={(checked) => setQuery({ compare: checked ? "1" : null })}
      />
    </div>
  );
}

function RuleChoice({ answer }: { answer: Answer }) {
  const isOpen = useSignal(false);
  const chosen = useSignal<readonly string[]>([]);
  const now = answer.series.map(nameOf);
  const cameras = [...new Set(answer.there.map((one) => one.camera))];
  if (answer.there.length < 2) return null;
  return (
    <>
      <Button
        icon="filter"
        onClick={() => {
          chosen.value = now;
          isOpen.value = true;
        }}
      >
        {tn("numbers.rules_chosen", now.length)}
      </Button>
      {isOpen.value && (
        <Dialog
          title={t("numbers.rules")}
          onClose={() => (isOpen.value = false)}
          actions={
            <Button
              kind="primary"
              disabled={chosen.value.length === 0}
              onClick={() => {
                isOpen.value = false;
                const isAll = chosen.value.length === answer.there.length;
                setQuery({ rules: isAll ? null : chosen.value.join(",") });
              }}
            >
              {t("numbers.choose")}
            </Button>
          }
        >
          <Checkbox
            label={t("numbers.all_rules")}
            checked={chosen.value.length === answer.there.length}
            onChecked={(checked) => (chosen.value = checked ? answer.there.map(nameOf) : [])}
          />
          {cameras.map((camera) => (
            <fieldset key={camera} class="rules-of">
              <legend>{camera}</legend>
              {answer.there
                .filter((one) => one.camera === camera)
                .map((one) => (
                  <Checkbox
                    key={one.rule}
                    label={`${one.rule} · ${typeName(one.type)}`}
                    checked={chosen.value.includes(nameOf(one))}
                    onChecked={(checked) =>
                      (chosen.value = checked
                        ? [...chosen.value, nameOf(one)]
                        : chosen.value.filter((name) => name !== nameOf(one)))
                    }
                  />
                ))}
            </fieldset>
          ))}
        </Dialog>
      )}
    </>
  );
}
