/** Hours by days of the week, as a grid; each cell says what it is, and a table says it in words. */

import { useId } from "preact/hooks";
import type { components } from "../../api/schema.d.ts";
import { locale, number, t } from "../../app/language.ts";
import { measureName, valueText } from "./words.ts";

type Measure = components["schemas"]["MeasureSeries"];

const CELL = 22;
const LEFT = 34;
const TOP = 16;

/** Names of the days of the week, from Monday. */
export function weekdays(style: "short" | "long"): string[] {
  const format = new Intl.DateTimeFormat(locale.value, { weekday: style, timeZone: "UTC" });
  // 5 January 1970 was a Monday.
  return Array.from({ length: 7 }, (_, day) => format.format(new Date((4 + day) * 86_400_000)));
}

export function HeatMap({ measure, rule }: { measure: Measure; rule: string }) {
  const id = useId();
  const heat = measure.heat;
  if (!heat) return null;
  const all = heat.values.flat().filter((value) => value !== null);
  if (all.length === 0) return null;
  const isEmpty = (hour: number) =>
    heat.values.every((row, day) => row[hour] == null && heat.open_minutes[day]?.[hour] === 0);
  const hours = Array.from({ length: 24 }, (_, hour) => hour).filter((hour) => !isEmpty(hour));
  const most = Math.max(...all, 1e-9);
  const short = weekdays("short");
  const long = weekdays("long");
  const what = measureName(measure);
  const title = t("numbers.heat_of", { what, rule });
  const says = (day: number, hour: number) => {
    const value = heat.values[day]?.[hour];
    const isClosed = value == null && heat.open_minutes[day]?.[hour] === 0;
    return t("numbers.heat_cell", {
      day: long[day] ?? "",
      hour,
      value: isClosed
        ? t("numbers.heat_closed")
        : value == null
          ? t("numbers.heat_unknown")
          : valueText(value, { ...measure, decimals: Math.max(1, measure.decimals) }),
      n: number(heat.hours[day]?.[hour] ?? 0),
    });
  };
  return (
    <figure class="heat">
      <figcaption>{title}</figcaption>
      <div class="heat-place" role="region" aria-label={title} tabIndex={0}>
        <svg
          viewBox={`0 0 ${LEFT + hours.length * CELL} ${TOP + 7 * CELL}`}
          class="heat-grid"
          role="img"
          aria-label={peakOf(heat.values, says)}
        >
          <defs>
            <pattern id={id} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect class="hatch-line" width="1.2" height="5" />
            </pattern>
          </defs>
          {hours.map((hour, column) =>
            column % 2 === 0 ? (
              <text class="heat-label" key={hour} x={LEFT + column * CELL + CELL / 2} y={11} text-anchor="middle">
                {String(hour).padStart(2, "0")}
              </text>
            ) : null,
          )}
          {short.map((name, day) => (
            <g key={name}>
              <text class="heat-label" x={LEFT - 6} y={TOP + day * CELL + CELL / 2 + 4} text-anchor="end">
                {name}
              </text>
              {hours.map((hour, column) => {
                const value = heat.values[day]?.[hour];
                const isOpen = (heat.open_minutes[day]?.[hour] ?? 0) > 0;
                return (
                  <rect
                    key={hour}
                    class={value == null ? (isOpen ? "heat-unknown" : "heat-closed") : "heat-cell"}
                    x={LEFT + column * CELL + 1}
                    y={TOP + day * CELL + 1}
                    width={CELL - 2}
                    height={CELL - 2}
                    rx="3"
                    fill={value == null && isOpen ? `url(#${id})` : undefined}
                    fill-opacity={value == null ? undefined : 0.07 + 0.93 * Math.sqrt(value / most)}
                  >
                    <title>{says(day, hour)}</title>
                  </rect>
                );
              })}
            </g>
          ))}
        </svg>
      </div>
    </figure>
  );
}

/** The busiest cell in words: what a look at the grid shows. */
function peakOf(
  values: readonly (readonly (number | null)[])[],
  says: (day: number, hour: number) => string,
): string {
  let best: [number, number, number] = [0, 0, -Infinity];
  values.forEach((row, day) =>
    row.forEach((value, hour) => {
      if (value !== null && value > best[2]) best = [day, hour, value];
    }),
  );
  return says(best[0], best[1]);
}
