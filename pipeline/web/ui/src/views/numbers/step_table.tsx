/** Every step with its numbers, its minutes and its events. */

import { useSignal } from "@preact/signals";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { clock, day, moment } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/page.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { knownShares, nameOf, type Span, sharesBefore, stepsOf } from "./lines.ts";
import { eventsAddress } from "./links.ts";
import { openStep } from "./opening.ts";
import { beforeText, ENOUGH, measureName, shareText, valueText } from "./words.ts";

type Answer = components["schemas"]["NumbersAnswer"];
type Measure = components["schemas"]["MeasureSeries"];

const MOST_ROWS = 400;

export function StepTable({ answer, zone }: { answer: Answer; zone: string }) {
  const isOpen = useSignal(false);
  return (
    <Card
      title={t("numbers.steps")}
      actions={
        <Button
          small
          kind="quiet"
          icon={isOpen.value ? "up" : "down"}
          aria-expanded={isOpen.value}
          onClick={() => (isOpen.value = !isOpen.value)}
        >
          {t("chart.table")}
        </Button>
      }
    >
      {isOpen.value && <Steps answer={answer} zone={zone} />}
    </Card>
  );
}

interface Row extends Span {
  index: number;
}

function Steps({ answer, zone }: { answer: Answer; zone: string }) {
  const shares = knownShares(answer);
  const sharesEarlier = sharesBefore(answer);
  const rows = stepsOf(answer)
    .map((step, index): Row => ({ since: step.since, until: step.until, index }))
    // What is closed does not count where only opening hours do.
    .filter((row) => (answer.sites[0]?.steps[row.index]?.minutes ?? 0) > 0)
    .slice(-MOST_ROWS);
  const isOne = answer.series.length === 1;
  const cameras = new Set(answer.series.map((one) => one.camera));
  const columns: Column<Row>[] = [
    { key: "time", title: t("chart.time"), cell: (row) => timeText(row, zone) },
    ...answer.series.flatMap((rule) =>
      rule.measures.flatMap((measure) => {
        const title = isOne ? measureName(measure) : `${rule.rule}: ${measureName(measure)}`;
        const key = `${nameOf(rule)} ${measure.name}`;
        const earlier = answer.before?.series
          .find((one) => nameOf(one) === nameOf(rule))
          ?.measures.find((one) => one.name === measure.name);
        const now = {
          key,
          title,
          isNumber: true,
          cell: (row: Row) => <Value value={measure.values[row.index]} measure={measure} />,
        };
        if (!earlier) return [now];
        const before = {
          key: `${key} before`,
          title: `${title}, ${beforeText(answer)}`,
          isNumber: true,
          // An hour that there was not is neither known nor unknown.
          cell: (row: Row) =>
            sharesEarlier[row.index] === null ? (
              "–"
            ) : (
              <Value value={earlier.values[row.index]} measure={measure} />
            ),
        };
        return [now, before];
      }),
    ),
    {
      key: "known",
      title: t("numbers.known"),
      isNumber: true,
      cell: (row) => <Share share={shares[row.index] ?? 0} />,
    },
    ...(answer.before
      ? [
          {
            key: "known before",
            title: `${t("numbers.known")}, ${beforeText(answer)}`,
            isNumber: true,
            cell: (row: Row) => {
              const share = sharesEarlier[row.index] ?? null;
              return share === null ? "–" : <Share share={share} />;
            },
          },
        ]
      : []),
    {
      key: "open",
      title: t("numbers.minutes"),
      cell: (row) =>
        answer.step === "1m" ? null : (
          <Button
            small
            kind="quiet"
            aria-label={t("numbers.minutes_of", { when: timeText(row, zone) })}
            onClick={() => openStep(answer, row)}
          >
            {t("numbers.minutes")}
          </Button>
        ),
    },
    {
      key: "events",
      title: t("numbers.events"),
      cell: (row) => (
        <a
          aria-label={t("numbers.events_of", { when: timeText(row, zone) })}
          href={eventsAddress({
            camera: cameras.size === 1 ? answer.series[0]?.camera : undefined,
            rule: isOne ? answer.series[0]?.rule : undefined,
            since: row.since,
            until: row.until,
          })}
        >
          {t("numbers.events")}
        </a>
      ),
    },
  ];
  return (
    <Table
      caption={t("numbers.steps")}
      columns={columns}
      rows={rows}
      keyOf={(row) => row.since}
    />
  );
}

function Value({ value, measure }: { value: number | null | undefined; measure: Measure }) {
  if (value == null) return <span class="muted">{t("share.unknown")}</span>;
  return <>{valueText(value, measure)}</>;
}

function Share({ share }: { share: number }) {
  return <span class={share < ENOUGH ? "known-partly" : "muted"}>{shareText(share)}</span>;
}

function timeText(step: Span, zone: string): string {
  const length = step.until - step.since;
  if (length > 26 * 3600) return `${day(step.since, zone)} – ${day(step.until - 1, zone)}`;
  if (length > 20 * 3600) return day(step.since, zone);
  if (length <= 60) return moment(step.since, zone);
  return `${moment(step.since, zone)}–${clock(step.until, zone)}`;
}
