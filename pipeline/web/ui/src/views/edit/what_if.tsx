/** What the edit would have counted, while it is being made: hour by hour, beside what is stored. */

import { type Signal, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { isAbandoned } from "../../api/client.ts";
import { number, percent, t } from "../../app/language.ts";
import { clock, clockSeconds, day } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { SelectField } from "../../parts/field.tsx";
import { sentenceOf } from "../../parts/states.tsx";
import {
  type Days,
  type HourRow,
  picture,
  type RuleResult,
  type RuleTruth,
  type SimulationRow,
  simulate,
  trails,
  type WouldBeEvent,
} from "./api.ts";
import { changedParts, rulesOf, touchedRules } from "./model.ts";
import type { EditorState } from "./store.ts";

const SETTLE_MS = 250;
const MOST_SHOWN = 100;
const TRAIL_BEFORE_S = 8;
const TRAIL_AFTER_S = 4;

interface Found {
  hours: HourRow[];
  totals: RuleResult[] | null;
  cutShort: string | null;
  truth: RuleTruth[];
}

const NOTHING: Found = { hours: [], totals: null, cutShort: null, truth: [] };

export function WhatIf({
  state,
  days,
  chosen,
}: {
  state: EditorState;
  days: Days;
  chosen: Signal<string>;
}) {
  const found = useSignal<Found>(NOTHING);
  const failure = useSignal<string | null>(null);
  const isRunning = useSignal(false);
  const span = days.days.find((one) => one.day === chosen.value) ?? days.days[0];
  useSignalEffect(() => {
    const draft = state.draft.value;
    const original = state.original.value;
    const selected = state.selected.value;
    const known = days.days.find((one) => one.day === chosen.value) ?? days.days[0];
    if (!known) return;
    const touched = touchedRules(draft, original);
    const only = touched.length ? touched : selected ? rulesOf(draft, selected) : [];
    const controller = new AbortController();
    const timer = setTimeout(async () => {
      isRunning.value = true;
      const hours: HourRow[] = [];
      const take = (row: SimulationRow) => {
        if (controller.signal.aborted) return;
        if (row.kind === "hour") {
          hours.push(row);
          found.value = { hours: [...hours], totals: null, cutShort: null, truth: [] };
        } else if (row.kind === "end") {
          const { totals, cut_short: cutShort } = row;
          found.value = { hours: [...hours], totals, cutShort, truth: [] };
        } else if (row.kind === "truth") {
          found.value = { ...found.value, truth: row.rules };
        } else if (row.kind === "failed") failure.value = row.message;
      };
      const { since, until } = known;
      const asked = {
        ...changedParts(draft, original),
        camera: state.camera,
        since,
        until,
        only,
      };
      try {
        failure.value = null;
        await simulate(asked, take, controller.signal);
        if (!controller.signal.aborted) isRunning.value = false;
      } catch (error) {
        if (isAbandoned(error) || controller.signal.aborted) return;
        isRunning.value = false;
        failure.value = sentenceOf(error);
      }
    }, SETTLE_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  });
  const rules = [...new Set(found.value.hours.flatMap((hour) => hour.rules.map((r) => r.rule)))];
  return (
    <section class="edit-panel" aria-busy={isRunning.value}>
      <div class="edit-head">
        <h2>{t("edit.what_if")}</h2>
        {isRunning.value && <span class="edit-working">{t("edit.counting")}</span>}
      </div>
      {span ? (
        <SelectField
          label={t("edit.counted_on")}
          value={span.day}
          options={days.days.map((one) => ({
            value: one.day,
            label: `${day(one.since, days.timezone)}, ${clock(one.since, days.timezone)}–${clock(one.until, days.timezone)}`,
          }))}
          onValue={(value) => (chosen.value = value)}
        />
      ) : (
        <p class="edit-muted">{t("edit.nothing_seen")}</p>
      )}
      {failure.value && (
        <p class="field-problem" role="alert">
          {failure.value}
        </p>
      )}
      {found.value.cutShort && <p class="field-problem">{found.value.cutShort}</p>}
      {span && !failure.value && rules.length === 0 && !isRunning.value && (
        <p class="edit-muted">{t("edit.no_rules")}</p>
      )}
      {rules.map((rule) => (
        <RuleFigures
          key={rule}
          state={state}
          rule={rule}
          found={found.value}
          span={span}
          timezone={days.timezone}
        />
      ))}
    </section>
  );
}

function RuleFigures({
  state,
  rule,
  found,
  span,
  timezone,
}: {
  state: EditorState;
  rule: string;
  found: Found;
  span: { since: number; until: number } | undefined;
  timezone: string;
}) {
  const mine = found.hours.map((hour) => ({
    hour,
    one: hour.rules.find((other) => other.rule === rule),
  }));
  const total = found.totals?.find((one) => one.rule === rule);
  const unknown = total?.unknown ?? mine.find(({ one }) => one?.unknown)?.one?.unknown;
  const columns = [
    ...new Set(mine.flatMap(({ one }) => Object.keys(one?.simulated?.values ?? one?.stored?.values ?? {}))),
  ];
  const sum = (of: "simulated" | "stored", column: string): number | null => {
    const whole = total?.[of]?.values[column];
    if (total) return whole ?? null;
    const values = mine.map(({ one }) => one?.[of]?.values[column]).filter((v) => v != null);
    return values.length ? values.reduce((a, b) => a + b, 0) : null;
  };
  const [first, last] = [span?.since ?? 0, span?.until ?? 0];
  const within = ({ at, ends_at }: HourRow) => Math.min(ends_at, last) - Math.max(at, first);
  const seconds = found.hours.reduce((all, hour) => all + Math.max(0, within(hour)), 0);
  const known = mine.reduce((all, { one }) => all + (one?.simulated?.known_s ?? 0), 0);
  const events = mine.flatMap(({ one }) => [
    ...(one?.gone ?? []),
    ...(one?.events ?? []),
  ]);
  return (
    <div class="edit-rule" data-rule={rule}>
      <h3>{rule}</h3>
      {unknown && <p class="edit-muted">{unknown}</p>}
      <dl class="edit-figures">
        {columns.map((column) => {
          const [here, there] = [sum("simulated", column), sum("stored", column)];
          const difference = here === null || there === null ? null : here - there;
          return (
            <div key={column}>
              <dt>{column.replaceAll("_", " ")}</dt>
              <dd>
                <strong>{written(here)}</strong>
                {difference !== null && difference !== 0 && (
                  <span class="edit-difference">
                    {difference > 0 ? "+" : "−"}
                    {written(Math.abs(difference))}
                  </span>
                )}
                <span class="edit-muted">{t("edit.stored", { n: written(there) })}</span>
              </dd>
            </div>
          );
        })}
      </dl>
      {seconds > 0 && (
        <p class="edit-muted">{t("edit.coverage", { share: percent(Math.min(1, known / seconds)) })}</p>
      )}
      <TruthOfRule known={found.truth.find((one) => one.rule === rule)} />
      <Bars mine={mine} column={columns[0]} timezone={timezone} rule={rule} />
      <Crossings state={state} events={events} timezone={timezone} />
    </div>
  );
}

function written(value: number | null): string {
  return value === null ? "–" : number(value, Number.isInteger(value) ? 0 : 1);
}

/** How right the count is and would be; nothing where nobody said anything of its events. */
function TruthOfRule({ known }: { known: RuleTruth | undefined }) {
  if (!known) return null;
  const share = (value: number | null) => (value === null ? "–" : percent(value));
  const reasons = [
    known.reviewed < known.stored &&
      t("edit.partly_reviewed", { n: known.reviewed, all: known.stored }),
    known.missed === 0 && t("edit.partly_missed"),
  ].filter(Boolean);
  return (
    <div class="edit-truth">
      <table class="edit-coordinates">
        <caption>{t("edit.truth")}</caption>
        <thead>
          <tr>
            <td />
            <th scope="col">{t("edit.truth_now")}</th>
            <th scope="col">{t("edit.truth_edit")}</th>
          </tr>
        </thead>
        <tbody>
          {(["precision", "recall", "error"] as const).map((key) => (
            <tr key={key}>
              <th scope="row">{t(`edit.${key}`)}</th>
              <td>{share(known.now[key])}</td>
              <td>{share(known.would_be[key])}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="edit-muted">
        {t("edit.labels", { n: known.labelled })}
        {known.partly && ` ${[t("edit.partly"), ...reasons].join(" ")}`}
      </p>
    </div>
  );
}

type Mine = { hour: HourRow; one: HourRow["rules"][number] | undefined }[];

/** The hours as bars, by the edit and as they are stored. */
function Bars({
  mine,
  column,
  timezone,
  rule,
}: {
  mine: Mine;
  column: string | undefined;
  timezone: string;
  rule: string;
}) {
  if (!column || mine.length < 2) return null;
  const rows = [...mine].reverse().map(({ hour, one }) => ({
    at: hour.at,
    here: one?.simulated?.values[column] ?? null,
    there: one?.stored?.values[column] ?? null,
  }));
  const most = Math.max(1, ...rows.flatMap((row) => [row.here ?? 0, row.there ?? 0]));
  const width = 100 / rows.length;
  const bar = (value: number) => (value / most) * 46;
  return (
    <figure class="edit-bars">
      <svg viewBox="0 0 100 50" preserveAspectRatio="none" aria-hidden="true">
        {rows.map((row, index) => (
          <g key={row.at}>
            {row.there !== null && (
              <rect
                class="edit-bar-there"
                x={index * width + width * 0.1}
                y={48 - bar(row.there)}
                width={width * 0.36}
                height={bar(row.there)}
              />
            )}
            {row.here !== null && (
              <rect
                class="edit-bar-here"
                x={index * width + width * 0.5}
                y={48 - bar(row.here)}
                width={width * 0.36}
                height={bar(row.here)}
              />
            )}
          </g>
        ))}
        <line class="edit-bar-ground" x1="0" y1="48.5" x2="100" y2="48.5" />
      </svg>
      <figcaption class="edit-muted">
        {t("edit.bars", {
          column,
          since: clock(rows[0]?.at ?? 0, timezone),
          until: clock((rows.at(-1)?.at ?? 0) + 3600, timezone),
        })}
      </figcaption>
      <details>
        <summary>{t("edit.as_table")}</summary>
        <table class="edit-coordinates">
          <caption class="unseen">{rule}</caption>
          <thead>
            <tr>
              <th scope="col">{t("edit.hour")}</th>
              <th scope="col">{t("edit.would_be")}</th>
              <th scope="col">{t("edit.is_stored")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.at}>
                <th scope="row">{clock(row.at, timezone)}</th>
                <td>{written(row.here)}</td>
                <td>{written(row.there)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </figure>
  );
}

function Crossings({
  state,
  events,
  timezone,
}: {
  state: EditorState;
  events: WouldBeEvent[];
  timezone: string;
}) {
  const all = useSignal(false);
  const chosen = useSignal<string | null>(null);
  const trouble = useSignal<string | null>(null);
  const begun = events.filter((event) => event.phase === "single" || event.phase === "start");
  const differ = begun.filter((event) => event.against !== "same");
  const rows = (all.value ? begun : differ).sort((a, b) => b.at - a.at);
  useEffect(() => () => void (state.shown.value = null), []);
  const show = async (event: WouldBeEvent) => {
    chosen.value = event.id;
    trouble.value = null;
    const [since, until] = [event.at - TRAIL_BEFORE_S, event.at + TRAIL_AFTER_S];
    try {
      const walked = await trails(state.camera, since, until);
      const mine = walked.trails.find((trail) => trail.track === event.track);
      if (chosen.value === event.id) state.shown.value = mine ?? null;
      state.picture.value = await picture(state.camera, event.at, new AbortController().signal);
    } catch (error) {
      if (state.shown.value === null) trouble.value = sentenceOf(error);
    }
  };
  if (begun.length === 0) return null;
  return (
    <details class="edit-crossings" open={differ.length > 0 && differ.length <= 20}>
      <summary>{t("edit.differ", { n: differ.length, all: begun.length })}</summary>
      <Button small kind="quiet" onClick={() => (all.value = !all.value)}>
        {t(all.value ? "edit.show_differing" : "edit.show_all")}
      </Button>
      {trouble.value && <p class="field-problem">{trouble.value}</p>}
      <ul class="edit-list">
        {rows.slice(0, MOST_SHOWN).map((event) => (
          <li key={`${event.id} ${event.against}`}>
            <button
              type="button"
              class="edit-item"
              aria-pressed={chosen.value === event.id}
              onClick={() => void show(event)}
            >
              <span class={`badge badge-${event.against === "new" ? "good" : event.against === "gone" ? "bad" : "plain"}`}>
                {t(`edit.event_${event.against}`)}
              </span>
              <span>{clockSeconds(event.at, timezone)}</span>
              <span class="edit-muted">
                {[
                  event.direction,
                  event.track !== null && t("edit.track", { n: event.track }),
                  event.seconds !== null && `${number(event.seconds, 1)} s`,
                ]
                  .filter(Boolean)
                  .join(" · ")}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {rows.length > MOST_SHOWN && (
        <p class="edit-muted">{t("edit.more_rows", { n: rows.length - MOST_SHOWN })}</p>
      )}
    </details>
  );
}
