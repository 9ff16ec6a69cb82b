/**
 * A chart over time. What is not known is a gap with a hatch, never a line at zero, and everything
 * that is drawn can be read as a table.
 */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { locale, number, t } from "../app/language.ts";
import { theme } from "../app/settings.ts";
import { clock, day, moment, type Span } from "../app/times.ts";
import { Button } from "./button.tsx";
import { placesAlone } from "./lonely.ts";
import { Table } from "./table.tsx";

export interface Series {
  label: string;
  /** One for each time; null where it is not known. */
  values: readonly (number | null)[];
  kind?: "line" | "bars";
  /** Pale and dashed, such as of the week before. */
  isBackground?: boolean;
  /** Which of the colours it has, from 0; its place in the list otherwise. */
  colour?: number;
}

export interface ChartProps {
  /** What it shows, for who does not see it, and above its table. */
  caption: string;
  /** UTC seconds, rising: the beginnings of the buckets. */
  times: readonly number[];
  series: readonly Series[];
  /** Length of a bucket in seconds, if times are those of buckets. */
  bucketS?: number;
  /** Spans that are hatched because nothing is known of them. */
  unknown?: readonly Span[];
  /** Spans that are shaded, such as those in which a shop is closed. */
  closed?: readonly Span[];
  /** Moments that are marked, such as when a line was moved. */
  marks?: readonly { at: number; label: string }[];
  timezone: string;
  /** Decimal places of values. */
  digits?: number;
  /** Such as "s"; stands behind values. */
  unit?: string;
  height?: number;
  /** What is done when somebody drags over a span. */
  onSpan?: (span: Span) => void;
}

export function Chart(props: ChartProps) {
  const isTable = useSignal(false);
  return (
    <figure class="chart">
      <div class="chart-head">
        <Legend series={props.series} hasUnknown={(props.unknown?.length ?? 0) > 0} />
        <Button
          small
          kind="quiet"
          icon={isTable.value ? "numbers" : "table"}
          aria-pressed={isTable.value}
          onClick={() => {
            isTable.value = !isTable.value;
          }}
        >
          {t(isTable.value ? "chart.chart" : "chart.table")}
        </Button>
      </div>
      {isTable.value ? <ChartTable {...props} /> : <Drawing {...props} />}
    </figure>
  );
}

function Legend({ series, hasUnknown }: { series: readonly Series[]; hasUnknown: boolean }) {
  return (
    <ul class="legend">
      {series.map((one, index) => (
        <li
          key={one.label}
          class={`legend-${((one.colour ?? index) % COLOURS.length) + 1}`}
          data-background={one.isBackground ? "" : undefined}
        >
          {one.label}
        </li>
      ))}
      {hasUnknown && <li class="legend-unknown">{t("chart.unknown_key")}</li>}
    </ul>
  );
}

function ChartTable({ caption, times, series, timezone, digits, unit }: ChartProps) {
  const rows = times.map((time, index) => ({ time, index }));
  const columns = [
    {
      key: "time",
      title: t("chart.time"),
      cell: (row: { time: number }) => moment(row.time, timezone),
    },
    ...series.map((one, at) => ({
      key: String(at),
      title: one.label,
      isNumber: true,
      cell: (row: { index: number }) => valueText(one.values[row.index], digits, unit),
    })),
  ];
  return <Table caption={caption} columns={columns} rows={rows} keyOf={(row) => row.time} />;
}

function valueText(value: number | null | undefined, digits = 0, unit = ""): string {
  if (value === null || value === undefined) return t("chart.unknown");
  return unit ? `${number(value, digits)} ${unit}` : number(value, digits);
}

const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"] as const;

function Drawing(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const scheme = useSignal(0);
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => {
      scheme.value += 1;
    };
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);
  useSignalEffect(() => {
    // Colours are read when it is drawn.
    theme.value;
    queueMicrotask(() => {
      scheme.value += 1;
    });
  });
  const inputs = [JSON.stringify(props), locale.value, scheme.value];
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = new uPlot(optionsOf(props, element), dataOf(props), element);
    plot.current = made;
    const watcher = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: props.height ?? HEIGHT });
    });
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.destroy();
    };
  }, inputs);
  return <div class="chart-drawing" ref={place} role="img" aria-label={props.caption} />;
}

const HEIGHT = 240;

function dataOf({ times, series }: ChartProps): uPlot.AlignedData {
  return [[...times], ...series.map((one) => [...one.values])];
}

function optionsOf(props: ChartProps, element: HTMLElement): uPlot.Options {
  const { timezone, series, unit, digits, bucketS, onSpan } = props;
  const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--text-muted"),
    font: `12px ${getComputedStyle(element).fontFamily}`,
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height: props.height ?? HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), timezone),
    legend: { show: false },
    cursor: {
      drag: { x: onSpan !== undefined, y: false, setScale: false },
      points: { size: 7 },
    },
    scales: {
      x: { time: true, range: (_plot, least, most) => [least, most + (bucketS ?? 0)] },
      y: { range: (_plot, least, most) => [Math.min(0, least ?? 0), Math.max(1, (most ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, size: 32, space: 70, values: (_plot, splits, _at, _space, step) => splits.map((one) =>
          step >= 86_400 || clock(one, timezone) === "00:00" ? day(one, timezone) : clock(one, timezone),
        ),
      },
      {
        ...axis,
        size: 52,
        values: (_plot, splits) =>
          splits.map((one) => {
            const places = splits.every(Number.isInteger) ? 0 : 1;
            return unit ? `${number(one, places)} ${unit}` : number(one, places);
          }),
      },
    ],
    series: [
      {},
      ...series.map((one, index): uPlot.Series => {
        const stroke = colour(COLOURS[(one.colour ?? index) % COLOURS.length] ?? COLOURS[0]);
        const isBars = one.kind === "bars";
        return {
          label: one.label,
          stroke,
          width: one.isBackground ? 1 : 2,
          dash: one.isBackground ? [4, 4] : undefined,
          fill: isBars ? `color-mix(in srgb, ${stroke} ${one.isBackground ? 15 : 45}%, transparent)` : undefined,
          paths: isBars
            ? uPlot.paths.bars?.({ size: [0.8, 64], align: bucketS ? 1 : 0 })
            : uPlot.paths.linear?.(),
          // A value between two gaps has no line: it is a point, or it would not be seen.
          points: {
            show: false,
            size: 6,
            fill: stroke,
            filter: () => (isBars ? null : placesAlone(one.values)),
          },
          spanGaps: false,
        };
      }),
    ],
    plugins: [unknownSpans(props, colour), readout(props, timezone, digits, unit)],
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (!onSpan || width < 4) return;
          onSpan({ since: plot.posToVal(left, "x"), until: plot.posToVal(left + width, "x") });
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        },
      ],
    },
  };
}

/** Hatches what is not known, and draws marks. */
function unknownSpans(props: ChartProps, colour: (name: string) => string): uPlot.Plugin {
  const draw = (plot: uPlot) => {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.fillStyle = colour("--surface-sunken");
    ctx.globalAlpha = 0.7;
    for (const { since, until } of props.closed ?? []) {
      const from = plot.valToPos(since, "x", true);
      ctx.fillRect(from, top, plot.valToPos(until, "x", true) - from, height);
    }
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colour("--hatch");
    ctx.lineWidth = devicePixelRatio;
    for (const { since, until } of props.unknown ?? []) {
      const from = plot.valToPos(since, "x", true);
      const to = plot.valToPos(until, "x", true);
      ctx.save();
      ctx.beginPath();
      ctx.rect(from, top, to - from, height);
      ctx.clip();
      ctx.beginPath();
      const step = 7 * devicePixelRatio;
      // From a whole number of steps, so that neighbours share their lines.
      const first = Math.floor((from - height) / step) * step;
      for (let x = first; x < to; x += step) {
        ctx.moveTo(x, top + height);
        ctx.lineTo(x + height, top);
      }
      ctx.stroke();
      ctx.restore();
    }
    ctx.strokeStyle = colour("--text-muted");
    ctx.fillStyle = colour("--text-muted");
    ctx.setLineDash([4, 4]);
    for (const { at, label } of props.marks ?? []) {
      const x = plot.valToPos(at, "x", true);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      ctx.fillText(label, x + 4, top + 12 * devicePixelRatio);
    }
    ctx.restore();
  };
  return { hooks: { drawClear: draw } };
}

/** What stands at the pointer, in words. */
function readout(
  { times, series, bucketS }: ChartProps,
  timezone: string,
  digits?: number,
  unit?: string,
): uPlot.Plugin {
  let element: HTMLDivElement | undefined;
  return {
    hooks: {
      init: (plot) => {
        element = document.createElement("div");
        element.className = "readout";
        element.hidden = true;
        plot.over.append(element);
      },
      setCursor: (plot) => {
        if (!element) return;
        const { idx, left = -1 } = plot.cursor;
        element.hidden = idx === null || idx === undefined || left < 0;
        if (element.hidden) return;
        const at = times[idx as number] ?? 0;
        const until = bucketS && bucketS < 86_400 ? `–${clock(at + bucketS, timezone)}` : "";
        const lines = series.map(
          (one) => `${one.label}: ${valueText(one.values[idx as number], digits, unit)}`,
        );
        element.textContent = [`${moment(at, timezone)}${until}`, ...lines].join("\n");
        element.classList.toggle("readout-left", left > plot.over.clientWidth / 2);
        element.style.setProperty("--at", `${left}px`);
      },
    },
  };
}
