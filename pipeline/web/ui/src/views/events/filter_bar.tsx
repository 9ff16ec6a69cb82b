/** The filters: what is chosen as chips, and the choices behind a button. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t, tn } from "../../app/language.ts";
import { may, site } from "../../app/session.ts";
import { Button } from "../../parts/button.tsx";
import { Checkbox, Choice, SelectField, TextField } from "../../parts/field.tsx";
import {
  type Filters,
  HOURS,
  type ListName,
  type SentFilter,
  type Shown,
  type VerdictFilter,
  cleared,
  countOf,
  toggled,
} from "./filters.ts";
import { choose, filters, shownCards } from "./model.ts";
import { ChosenSpan } from "./timeline.tsx";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const VERDICTS: VerdictFilter[] = ["confirmed", "rejected", "not_checked"];
const SENT: SentFilter[] = ["delivered", "undelivered", "waiting", "refused"];
const WAIT_MS = 350;

export function FilterBar() {
  const isOpen = useSignal(false);
  const wanted = filters.value;
  const count = countOf(wanted);
  return (
    <div class="filters">
      <div class="filters-line">
        {may("review") && (
          <Choice
            label={t("events.show")}
            hideLabel
            value={wanted.shown}
            options={(["open", "all", "reviewed"] as Shown[]).map((value) => ({
              value,
              label: t(`events.show.${value}`),
            }))}
            onValue={(shown) => choose({ ...wanted, shown })}
          />
        )}
        <Search />
        <Button
          icon="filter"
          aria-expanded={isOpen.value}
          aria-controls="event-filters"
          onClick={() => {
            isOpen.value = !isOpen.value;
          }}
        >
          {count ? tn("events.filters.n", count) : t("events.filters")}
        </Button>
      </div>
      {count > 0 && <Chips wanted={wanted} />}
      <div id="event-filters" class="card filters-all" hidden={!isOpen.value}>
        {isOpen.value && <Choices wanted={wanted} />}
      </div>
    </div>
  );
}

function Search() {
  const text = useSignal(filters.peek().text);
  const said = filters.value.text;
  useEffect(() => {
    if (said !== text.peek().trim()) text.value = said;
  }, [said]);
  useEffect(() => {
    const timer = setTimeout(() => {
      const before = filters.peek();
      if (text.value.trim() !== before.text) choose({ ...before, text: text.value.trim() });
    }, WAIT_MS);
    return () => clearTimeout(timer);
  }, [text.value]);
  return (
    <div class="filters-search">
      <TextField
        label={t("events.filter.text")}
        type="search"
        placeholder={t("events.filter.text")}
        maxLength={200}
        value={text.value}
        onValue={(value) => {
          text.value = value;
        }}
      />
    </div>
  );
}

function nameOf(list: ListName, value: string): string {
  if (list === "weekday") return t(`events.day.${value}`);
  if (list === "direction" && (value === "in" || value === "out")) return t(`events.way.${value}`);
  return list === "type" ? value.replaceAll("_", " ") : value;
}

function Chips({ wanted }: { wanted: Filters }) {
  const chips: { key: string; name: string; without: Filters }[] = [];
  for (const list of ["camera", "rule", "type", "kind", "place", "direction", "weekday"] as const) {
    for (const value of wanted[list]) {
      chips.push({
        key: `${list} ${value}`,
        name: nameOf(list, value),
        without: toggled(wanted, list, value),
      });
    }
  }
  for (const value of wanted.verdict) {
    const verdict = wanted.verdict.filter((one) => one !== value);
    chips.push({ key: value, name: t(`events.verdict.${value}`), without: { ...wanted, verdict } });
  }
  const more: [boolean, string, Partial<Filters>][] = [
    [wanted.hours !== "", wanted.hours, { hours: "" }],
    [wanted.least !== null, `≥ ${wanted.least} %`, { least: null }],
    [wanted.sent !== null, t(`events.sent.${wanted.sent}`), { sent: null }],
    [wanted.wrong, t("events.has_wrong"), { wrong: false }],
    [wanted.text !== "", `“${wanted.text}”`, { text: "" }],
  ];
  for (const [isThere, name, change] of more) {
    if (isThere) chips.push({ key: name, name, without: { ...wanted, ...change } });
  }
  return (
    <div class="row">
      <ChosenSpan />
      {chips.map((chip) => (
        <Button
          key={chip.key}
          small
          icon="close"
          aria-label={t("events.filter.remove", { name: chip.name })}
          onClick={() => choose(chip.without)}
        >
          {chip.name}
        </Button>
      ))}
      <Button small kind="quiet" onClick={() => choose(cleared(wanted))}>
        {t("events.filters.clear")}
      </Button>
    </div>
  );
}

/** What is known of names: from the file, and from what is shown. */
function known(list: ListName): string[] {
  const cameras = site.value?.cameras ?? [];
  const cards = shownCards.value ?? [];
  const found = new Set<string>();
  const add = (value: string | null | undefined) => value && found.add(value);
  if (list === "camera") cameras.forEach((camera) => add(camera.name));
  if (list === "rule") cameras.forEach((camera) => Object.keys(camera.rules).forEach(add));
  if (list === "type") cameras.forEach((camera) => Object.values(camera.rules).forEach(add));
  for (const card of cards) {
    if (list === "camera") add(card.camera);
    if (list === "rule") add(card.rule);
    if (list === "type") add(card.type);
    if (list === "kind") add(card.kind);
    if (list === "place") [card.zone, card.line].forEach(add);
  }
  return [...found].sort((one, other) => one.localeCompare(other));
}

function Choices({ wanted }: { wanted: Filters }) {
  const hours = useSignal(wanted.hours);
  const problem = useSignal<string | null>(null);
  const least = useSignal(wanted.least === null ? "" : String(wanted.least));
  const lists: ListName[] = ["camera", "rule", "type", "kind", "place"];
  const one = <T extends string>(label: string, value: T | null, values: readonly T[], name: (one: T) => string, onValue: (value: T | null) => void) => (
    <SelectField
      label={label}
      value={value ?? ""}
      options={[
        { value: "", label: t("events.filter.any") },
        ...values.map((option) => ({ value: option as string, label: name(option) })),
      ]}
      onValue={(chosen) => onValue(chosen === "" ? null : (chosen as T))}
    />
  );
  return (
    <>
      <div class="filters-grid">
        {lists.map((list) => (
          <SelectField
            key={list}
            label={t(`events.filter.${list}`)}
            value=""
            options={[
              { value: "", label: t(wanted[list].length ? "events.filter.add" : "events.filter.any") },
              ...known(list)
                .filter((value) => !wanted[list].includes(value))
                .map((value) => ({ value, label: nameOf(list, value) })),
            ]}
            onValue={(value) => {
              if (value) choose(toggled(filters.peek(), list, value));
            }}
          />
        ))}
        {one(t("events.filter.direction"), wanted.direction[0] ?? null, ["in", "out"], (way) => t(`events.way.${way}`), (way) =>
          choose({ ...filters.peek(), direction: way ? [way] : [] }),
        )}
        {one(t("events.filter.verdict"), wanted.verdict[0] ?? null, VERDICTS, (value) => t(`events.verdict.${value}`), (value) =>
          choose({ ...filters.peek(), verdict: value ? [value] : [] }),
        )}
        {one(t("events.filter.sent"), wanted.sent, SENT, (value) => t(`events.sent.${value}`), (sent) =>
          choose({ ...filters.peek(), sent }),
        )}
        <TextField
          label={t("events.filter.hours")}
          hint={t("events.filter.hours.hint")}
          problem={problem.value}
          value={hours.value}
          maxLength={11}
          onValue={(value) => {
            hours.value = value;
            const text = value.replaceAll(" ", "");
            const isRight = text === "" || HOURS.test(text);
            problem.value = isRight || text.length < 3 ? null : t("events.filter.hours.wrong");
            if (isRight) choose({ ...filters.peek(), hours: text });
          }}
        />
        <TextField
          label={t("events.filter.least")}
          type="number"
          min={0}
          max={100}
          value={least.value}
          onValue={(value) => {
            least.value = value;
            const number = Number(value);
            const isRight = value !== "" && number > 0 && number <= 100;
            choose({ ...filters.peek(), least: isRight ? number : null });
          }}
        />
      </div>
      <fieldset class="filters-days">
        <legend>{t("events.filter.weekday")}</legend>
        <div class="row">
          {DAYS.map((day) => (
            <Checkbox
              key={day}
              label={t(`events.day.${day}`)}
              checked={wanted.weekday.includes(day)}
              onChecked={() => choose(toggled(filters.peek(), "weekday", day))}
            />
          ))}
        </div>
      </fieldset>
      <Checkbox
        label={t("events.filter.wrong")}
        checked={wanted.wrong}
        onChecked={(wrong) => choose({ ...filters.peek(), wrong })}
      />
    </>
  );
}
