/** Numbers over time, with what is not known, and what is behind each of them. */

import { get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, number, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { query, setQuery } from "../../app/router.ts";
import { may } from "../../app/session.ts";
import { clock, date, day, moment } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { Chart } from "../../parts/chart.tsx";
import { Choice } from "../../parts/field.tsx";
import { Card, Page } from "../../parts/page.tsx";
import { Empty, Failed, Loading } from "../../parts/states.tsx";
import { AuditLine } from "./audit_line.tsx";
import { CaptureCard } from "./capture_card.tsx";
import { PeriodControls, StepControls } from "./controls.tsx";
import { isDay } from "./days.ts";
import { ExportMenu } from "./export_menu.tsx";
import { HeatMap } from "./heat_map.tsx";
import {
  closedSpans,
  extrapolated,
  type Group,
  groupOf,
  groupsOf,
  type Line,
  lineBefore,
  linesOf,
  nameOf,
  type Span,
  siteLinesOf,
  stepsOf,
  unknownSpans,
} from "./lines.ts";
import { countAddress, eventsAddress } from "./links.ts";
import { openStep } from "./opening.ts";
import { SoldCard } from "./sold_card.tsx";
import { StepTable } from "./step_table.tsx";
import { texts } from "./texts.ts";
import { beforeText, ENOUGH, measureName, shareText, typeName, valueText } from "./words.ts";
import "./numbers.css";

addTexts(texts);

type Answer = components["schemas"]["NumbersAnswer"];
type RuleSeries = components["schemas"]["RuleSeries"];

const EVERY_MS = 60_000;
const DEADLINE_MS = 60_000;
const MOST_LINES = 5;
const MOST_MARKS = 12;

function wishOf(asked: URLSearchParams) {
  const day = (name: string) => (isDay(asked.get(name)) ? asked.get(name) : null);
  const rules = asked.get("rules")?.split(",").filter(Boolean) ?? [];
  return {
    first: day("first"),
    last: day("last"),
    since: asked.get("since"),
    until: asked.get("until"),
    step: asked.get("step"),
    // As a report has it; time outside of opening hours is asked for.
    only_open: asked.get("open") !== "0",
    before: asked.get("compare") === "1",
    rule: rules,
  };
}

export default function NumbersView() {
  const wish = wishOf(query.value);
  const loaded = useLoaded<Answer>(
    (signal) => get("/numbers", wish, { signal, deadlineMs: DEADLINE_MS }),
    [JSON.stringify(wish)],
    EVERY_MS,
  );
  const answer = loaded.value.value;
  const failure = loaded.failure.value;
  const zone = answer?.sites[0]?.timezone ?? "UTC";
  return (
    <Page title={t("numbers.title")} actions={answer && <ExportMenu answer={answer} />}>
      {answer && answer.there.length > 0 && (
        <div class="controls">
          {answer.first && answer.last ? (
            <PeriodControls
              days={{ first: answer.first, last: answer.last }}
              period={periodText(answer, zone)}
            />
          ) : (
            <Back answer={answer} zone={zone} />
          )}
          <StepControls answer={answer} step={wish.step} />
        </div>
      )}
      {failure !== null && <Failed error={failure} again={loaded.again} />}
      {failure === null && !answer && <Loading />}
      {failure === null && answer && <Found answer={answer} zone={zone} />}
    </Page>
  );
}

/** Such as Mon, 16 Nov 2026 – Sun, 22 Nov 2026, or 12:00–13:00. */
function periodText(answer: Answer, zone: string): string {
  if (answer.first && answer.last) {
    if (answer.first === answer.last) return date(answer.since, zone);
    return `${day(answer.since, zone)} – ${date(answer.until - 1, zone)}`;
  }
  return stepText(answer, zone);
}

function stepText(span: Span, zone: string): string {
  const length = span.until - span.since;
  if (length >= 20 * 3600) return `${day(span.since, zone)} – ${day(span.until - 1, zone)}`;
  return `${moment(span.since, zone)}–${clock(span.until, zone)}`;
}

/** A step that was opened: where it is, and the way back. */
function Back({ answer, zone }: { answer: Answer; zone: string }) {
  const back = query.value.get("back");
  const days = back?.split("_") ?? [];
  const first = isDay(days[0] ?? null) ? days[0] : undefined;
  const last = isDay(days[1] ?? null) ? days[1] : undefined;
  const asDay = new Date((answer.since + answer.until) * 500).toISOString().slice(0, 10);
  const to = { first: first ?? asDay, last: last ?? asDay, step: days[2] ?? null };
  return (
    <div class="controls-row">
      <Button
        small
        icon="left"
        onClick={() => setQuery({ ...to, since: null, until: null, back: null })}
      >
        {t("numbers.back", {
          period: to.first === to.last ? dayText(to.first) : `${dayText(to.first)} – ${dayText(to.last)}`,
        })}
      </Button>
      <strong>{stepText(answer, zone)}</strong>
    </div>
  );
}

function dayText(text: string): string {
  return day(Date.parse(`${text}T12:00:00Z`) / 1000, "UTC");
}

function Found({ answer, zone }: { answer: Answer; zone: string }) {
  if (answer.series.length === 0) {
    return <Empty icon="numbers" title={t("numbers.none")} text={t("numbers.none_text")} />;
  }
  const isUnknown = answer.series.every((rule) => rule.known === 0);
  const groups = groupsOf(answer);
  // What was edited in the time before counts otherwise since then, too.
  const edits = [...(answer.before?.edits ?? []), ...answer.edits];
  return (
    <>
      {isUnknown && <NothingKnown answer={answer} zone={zone} />}
      {groups.map((group) => (
        <GroupCard key={group.key} answer={answer} group={group} zone={zone} />
      ))}
      {answer.sold.map((sold) => (
        <SoldCard
          key={sold.site}
          answer={answer}
          sold={sold}
          zone={zone}
          period={periodText(answer, zone)}
          onSpan={(span) => openStep(answer, snapped(span, stepsOf(answer)))}
        />
      ))}
      {answer.captured.map((captured) => (
        <CaptureCard
          key={captured.site}
          answer={answer}
          captured={captured}
          zone={zone}
          period={periodText(answer, zone)}
          onSpan={(span) => openStep(answer, snapped(span, stepsOf(answer)))}
        />
      ))}
      {edits.length > 0 && (
        <Card title={t("numbers.edits")}>
          <ul class="notes">
            {edits.slice(-MOST_MARKS).map((edit) => (
              <li key={`${edit.at} ${nameOf(edit)}`}>
                <strong>{nameOf(edit)}</strong> · {moment(edit.at, zone)} · {t(`numbers.${edit.kind}`)}
                {edit.changed && `: ${edit.changed}`}
              </li>
            ))}
          </ul>
        </Card>
      )}
      <StepTable answer={answer} zone={zone} />
    </>
  );
}

function NothingKnown({ answer, zone }: { answer: Answer; zone: string }) {
  const newest = answer.newest;
  return (
    <div class="nothing-known" role="status">
      <p>
        {t("numbers.unknown_all")}{" "}
        {newest !== null && t("numbers.newest", { moment: moment(newest, zone) })}
      </p>
      {newest !== null && (
        <Button
          small
          onClick={() =>
            setQuery({ first: null, last: null, since: null, until: null, step: null, back: null })
          }
        >
          {t("numbers.to_newest")}
        </Button>
      )}
    </div>
  );
}

function GroupCard({ answer, group, zone }: { answer: Answer; group: Group; zone: string }) {
  const chosen = chosenOf(group, query.value.get("measures"));
  const bySite = query.value.get("by") === "site";
  const sites = siteLinesOf(answer, group, chosen);
  const canCompare = sites.length > 0 && answer.series.length > 1;
  const lines = (bySite && canCompare ? sites : linesOf(answer, group, chosen)).slice(0, MOST_LINES);
  const rules = answer.series.filter((rule) => rule.measures.some((one) => groupOf(one) === group.key));
  const isOne = rules.length === 1;
  const first = lines[0];
  if (!first) return null;
  const names = new Map(
    rules.flatMap((rule) => rule.measures.map((one) => [one.name, measureName(one)] as const)),
  );
  const title = isOne
    ? `${rules[0]?.rule ?? ""} · ${typeName(rules[0]?.type ?? "")}`
    : [...new Set(rules.map((rule) => typeName(rule.type)))].join(", ");
  const steps = stepsOf(answer);
  const bucket = steps[0] ? steps[0].until - steps[0].since : undefined;
  const earlier = lines.map((line) => lineBefore(answer, line, ENOUGH));
  const isBars = lines.length === 1 && first.measure.over_time === "sum" && steps.length <= 120;
  return (
    <Card title={title}>
      <div class="controls-row no-print">
        {!isOne && group.measures.length > 1 && (
          <Choice
            label={t("numbers.measure")}
            hideLabel
            value={chosen}
            options={group.measures.map((value) => ({ value, label: names.get(value) ?? value }))}
            onValue={(value) => setQuery({ measures: withChoice(query.value.get("measures"), group, value) })}
          />
        )}
        {canCompare && (
          <Choice
            label={t("numbers.by")}
            hideLabel
            value={bySite ? "site" : "rule"}
            options={[
              { value: "rule", label: t("numbers.by.rule") },
              { value: "site", label: t("numbers.by.site") },
            ]}
            onValue={(value) => setQuery({ by: value === "site" ? "site" : null })}
          />
        )}
      </div>
      <Totals answer={answer} lines={lines} earlier={earlier} rules={rules} />
      <Chart
        caption={t("numbers.chart", {
          what: isOne ? lines.map((line) => measureName(line.measure)).join(", ") : measureName(first.measure),
          of: [...new Set(lines.map((line) => line.of))].join(", "),
          period: periodText(answer, zone),
        })}
        times={steps.map((step) => step.since)}
        series={[
          ...lines.map((line, colour) => ({
            label: labelOf(line, isOne),
            values: line.values,
            kind: isBars ? ("bars" as const) : ("line" as const),
            colour,
          })),
          ...earlier.flatMap((line, colour) =>
            line
              ? [
                  {
                    label: `${labelOf(line, isOne)}, ${beforeText(answer)}`,
                    values: line.values,
                    kind: "line" as const,
                    isBackground: true,
                    colour,
                  },
                ]
              : [],
          ),
        ]}
        bucketS={bucket}
        unknown={unknownSpans(answer, ENOUGH)}
        closed={closedSpans(answer)}
        marks={marksOf(answer)}
        timezone={zone}
        digits={first.measure.decimals}
        onSpan={(span) => openStep(answer, snapped(span, steps))}
      />
      <RuleNotes rules={rules} answer={answer} zone={zone} />
      <div class="heats">
        {rules.slice(0, MOST_LINES).map((rule) => {
          const measure = rule.measures.find((one) => one.name === (isOne ? first.measure.name : chosen));
          return measure?.heat && <HeatMap key={nameOf(rule)} measure={measure} rule={nameOf(rule)} />;
        })}
      </div>
    </Card>
  );
}

function labelOf(line: Line, isOne: boolean): string {
  return isOne ? measureName(line.measure) : line.of;
}

function chosenOf(group: Group, text: string | null): string {
  const named = text?.split(",") ?? [];
  return group.measures.find((one) => named.includes(`${group.key}:${one}`)) ?? group.measures[0] ?? "";
}

function withChoice(text: string | null, group: Group, value: string): string {
  const others = (text?.split(",") ?? []).filter((one) => one && !one.startsWith(`${group.key}:`));
  return [...others, `${group.key}:${value}`].join(",");
}

/** Whole steps that hold what was dragged over. */
function snapped(span: Span, steps: readonly Span[]): Span {
  const inside = steps.filter((step) => step.until > span.since && step.since < span.until);
  const [first, last] = [inside[0], inside.at(-1)];
  return first && last ? { since: first.since, until: last.until } : span;
}

function marksOf(answer: Answer) {
  const edits = answer.edits.map((edit) => ({
    at: edit.at,
    label: `${edit.rule} ${t(`numbers.${edit.kind}`)}`,
  }));
  const holidays = (answer.sites[0]?.days ?? [])
    .filter((one) => one.holiday)
    .map((one) => ({ at: one.since, label: one.holiday ?? "" }));
  return [...edits, ...holidays].filter((one) => one.at >= answer.since).slice(0, MOST_MARKS);
}

function Totals({
  answer,
  lines,
  earlier,
  rules,
}: {
  answer: Answer;
  lines: readonly Line[];
  earlier: readonly (Line | null)[];
  rules: readonly RuleSeries[];
}) {
  const key = answer.only_open ? "share.known_open" : "share.known";
  const isOne = rules.length === 1;
  return (
    <dl class="totals">
      {lines.map((line, index) => {
        const before = earlier[index];
        const own = rules.filter((rule) => nameOf(rule) === line.of || rule.site === line.of);
        const known = Math.min(1, ...own.map((rule) => rule.known));
        const grows = line.measure.over_time === "sum" || line.measure.over_time === "max";
        const isPartly = known < ENOUGH;
        const text = valueText(line.total, line.measure);
        return (
          <div key={line.key}>
            <dt>{labelOf(line, isOne)}</dt>
            <dd class={isPartly ? "total total-partly" : "total"}>
              {isPartly && grows && line.total !== null ? `≥ ${text}` : text}
            </dd>
            <dd class={isPartly ? "known known-partly" : "known"}>
              {t(key, { percent: shareText(known) })}
            </dd>
            <IfLikeTheRest line={line} rules={own} known={known} />
            {before && <Earlier answer={answer} line={before} />}
          </div>
        );
      })}
    </dl>
  );
}

/** What a sum would be without its gaps: beside what was measured, and never in its place. */
function IfLikeTheRest({
  line,
  rules,
  known,
}: {
  line: Line;
  rules: readonly RuleSeries[];
  known: number;
}) {
  const value = extrapolated(line, rules);
  if (value === null) return null;
  const about = valueText(Math.round(value), line.measure);
  return (
    <dd class="known">
      <details class="if-like-the-rest">
        <summary>{t("numbers.gaps.about", { value: about })}</summary>
        {rules.length === 1 && (
          <p>
            {t("numbers.gaps.how", {
              counted: valueText(line.total, line.measure),
              percent: shareText(known),
              value: about,
            })}
          </p>
        )}
        <p>{t("numbers.gaps.note")}</p>
      </details>
    </dd>
  );
}

/** What it was in the time before, and how much of that is known. */
function Earlier({ answer, line }: { answer: Answer; line: Line }) {
  const rules = (answer.before?.series ?? []).filter(
    (rule) => nameOf(rule) === line.of || rule.site === line.of,
  );
  const known = Math.min(1, ...rules.map((rule) => rule.known));
  const grows = line.measure.over_time === "sum" || line.measure.over_time === "max";
  const isPartly = known < ENOUGH;
  const text = valueText(line.total, line.measure);
  return (
    <dd class={isPartly ? "known known-partly" : "known"}>
      {beforeText(answer)}: <strong>{isPartly && grows && line.total !== null ? `≥ ${text}` : text}</strong>{" "}
      ({t(answer.only_open ? "share.known_open" : "share.known", { percent: shareText(known) })})
    </dd>
  );
}

function RuleNotes({
  rules,
  answer,
  zone,
}: {
  rules: readonly RuleSeries[];
  answer: Answer;
  zone: string;
}) {
  return (
    <ul class="rule-notes">
      {rules.map((rule) => (
        <li key={nameOf(rule)}>
          {rules.length > 1 && <strong>{nameOf(rule)}</strong>}
          {rule.audit && <AuditLine audit={rule.audit} timezone={zone} />}
          {may("review") && (
            <a href={countAddress(nameOf(rule))} aria-label={t("numbers.count_of", { rule: nameOf(rule) })}>
              {t("numbers.count")}
            </a>
          )}
          {rule.staff && <span>{t("numbers.staff", { staff: rule.staff })}</span>}
          {rule.events > 0 && (
            <a
              href={eventsAddress({
                camera: rule.camera,
                rule: rule.rule,
                since: answer.since,
                until: answer.until,
              })}
            >
              {t("numbers.events")} ({number(rule.events)})
            </a>
          )}
        </li>
      ))}
    </ul>
  );
}
