/** A day in bars, hour by hour; what is not known is hatched, what is closed is empty. */

import { useId } from "preact/hooks";
import { t } from "../../app/language.ts";
import { ENOUGH, valueText } from "../numbers/words.ts";

export interface Hour {
  hour: string;
  value: number | null;
  coverage: number;
  is_open: boolean;
}

const HEIGHT = 64;
const WIDTH = 280;
const LABEL = 18;

export function HourBars({
  what,
  hours,
  how,
  now,
  edits,
}: {
  what: string;
  hours: readonly Hour[];
  how: { decimals: number; suffix: string; unit: string; over_time: string };
  /** The hour that is running; later ones are empty. */
  now: string | null;
  /** When the rule was edited, as the site's clock says it: "14:30". */
  edits: readonly string[];
}) {
  const id = useId();
  const open = hours.filter((one) => one.is_open);
  const shown = open.length > 0 ? hours.slice(firstOf(hours), lastOf(hours) + 1) : [];
  if (shown.length < 2) return null;
  const most = Math.max(1e-9, ...shown.map((one) => one.value ?? 0));
  const said = shown
    .filter((one) => one.is_open)
    .map((one) => `${one.hour}: ${one.value === null ? t("today.hour_unknown") : valueText(one.value, how)}`)
    .join(", ");
  const marks = edits.flatMap((time) => {
    const index = shown.findIndex((one) => one.hour === time.slice(0, 2));
    return index < 0 ? [] : [{ time, place: index + Number(time.slice(3, 5)) / 60 }];
  });
  const edited = marks.map(({ time }) => t("today.edited", { time })).join(", ");
  const width = WIDTH / shown.length;
  const bar = Math.min(width - 3, 26);
  const every = shown.length > 16 ? 4 : shown.length > 9 ? 2 : 1;
  return (
    <svg
      class="hour-bars"
      viewBox={`0 0 ${WIDTH} ${HEIGHT + LABEL}`}
      role="img"
      aria-label={t("today.by_hour", { what, hours: edited ? `${said}; ${edited}` : said })}
    >
      <defs>
        <pattern id={id} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect class="hatch-line" width="1.4" height="6" />
        </pattern>
      </defs>
      {shown.map((one, index) => {
        const height = ((one.value ?? 0) / most) * (HEIGHT - 4);
        const isLater = now !== null && one.hour > now;
        const isPartly = one.is_open && !isLater && one.coverage < ENOUGH && one.hour !== now;
        return (
          <g key={one.hour}>
            {isPartly && (
              <rect x={index * width} y={0} width={width} height={HEIGHT} fill={`url(#${id})`} />
            )}
            {one.value !== null && (
              <rect
                class={isPartly ? "hour-bar hour-bar-partly" : one.hour === now ? "hour-bar hour-bar-now" : "hour-bar"}
                x={index * width + (width - bar) / 2}
                y={HEIGHT - Math.max(1, height)}
                width={bar}
                height={Math.max(1, height)}
                rx="2.5"
              />
            )}
            {index % every === 0 && (
              <text class="hour-label" x={index * width + width / 2} y={HEIGHT + 14} text-anchor="middle">
                {one.hour}
              </text>
            )}
          </g>
        );
      })}
      {marks.map(({ time, place }) => (
        <g key={time} class="hour-edit">
          <title>{t("today.edited", { time })}</title>
          <line x1={place * width} x2={place * width} y1="0" y2={HEIGHT} />
        </g>
      ))}
      <line class="hour-base" x1="0" x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
    </svg>
  );
}

function firstOf(hours: readonly Hour[]): number {
  return hours.findIndex((one) => one.is_open);
}

function lastOf(hours: readonly Hour[]): number {
  return hours.length - 1 - [...hours].reverse().findIndex((one) => one.is_open);
}
