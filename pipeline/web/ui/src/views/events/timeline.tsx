/** When it happened, by camera or rule; what was not covered is hatched. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { locale, percent, t, tn } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { query, setQuery } from "../../app/router.ts";
import { now, timezone, upTo } from "../../app/session.ts";
import { clock, day, moment, startOfDay } from "../../app/times.ts";
import { IconButton, Button } from "../../parts/button.tsx";
import { Choice } from "../../parts/field.tsx";
import { Whichever } from "../../parts/states.tsx";
import { CalendarButton } from "./calendar.tsx";
import { binAt, gapsOf, heightOf, spanBetween, ticksOf, zoomed } from "./drawing.ts";
import { toApi } from "./filters.ts";
import { choose, filters } from "./model.ts";

type Timeline = components["schemas"]["TimelineSaid"];
type Lane = Timeline["lanes"][number];

const HOUR = 3600;
const SPANS = {
  hour: HOUR,
  "6h": 6 * HOUR,
  day: 24 * HOUR,
  week: 7 * 24 * HOUR,
  month: 30 * 24 * HOUR,
  quarter: 90 * 24 * HOUR,
} as const;
type SpanName = keyof typeof SPANS;
const NAMES = Object.keys(SPANS) as SpanName[];
const LIMITS: [number, number] = [SPANS.hour, SPANS.quarter];
const BINS = 144;
const EVERY_MS = 30_000;

/** The span of the timeline as the address has it: a name up to now, or fixed ends. */
function wantedSpan(): { since: number; until: number; name: SpanName | null } {
  const text = query.value.get("span") ?? "day";
  const found = /^(\d+)-(\d+)$/.exec(text);
  if (found) {
    const [since, until] = [Number(found[1]), Number(found[2])];
    if (since < until && until - since <= LIMITS[1] + HOUR) return { since, until, name: null };
  }
  const name = NAMES.includes(text as SpanName) ? (text as SpanName) : "day";
  const until = upTo(SPANS[name]);
  return { since: until - SPANS[name], until, name };
}

export function TimelineBand() {
  const by = query.value.get("by") === "rule" ? "rule" : "camera";
  const spanText = query.value.get("span") ?? "day";
  const asked = JSON.stringify(toApi(filters.value, false));
  const loaded = useLoaded<Timeline>(
    (signal) => {
      const { since, until } = wantedSpan();
      const parameters = { ...toApi(filters.peek(), false), since, until, by, bins: BINS };
      return get<Timeline>("/timeline", parameters, { signal });
    },
    [asked, spanText, by],
    EVERY_MS,
  );
  const fix = (span: [number, number]) =>
    setQuery({ span: `${Math.round(span[0])}-${Math.round(span[1])}` });
  const move = (share: number) => {
    const { since, until } = wantedSpan();
    const length = until - since;
    const end = Math.min(Math.ceil(now() / 60) * 60, until + share * length);
    fix([end - length, end]);
  };
  const zoom = (factor: number) => {
    const { since, until } = wantedSpan();
    fix(zoomed(since, until, factor, Math.ceil(now() / 60) * 60, LIMITS));
  };
  const { name } = wantedSpan();
  return (
    <section class="card timeline" aria-label={t("events.timeline")}>
      <div class="timeline-head">
        <Choice
          label={t("events.timeline.span")}
          hideLabel
          value={name}
          options={NAMES.map((value) => ({ value, label: t(`events.timeline.${value}`) }))}
          onValue={(value) => setQuery({ span: value === "day" ? null : value })}
        />
        <div class="row">
          <CalendarButton />
          <IconButton icon="left" label={t("events.timeline.earlier")} onClick={() => move(-0.5)} />
          <IconButton icon="right" label={t("events.timeline.later")} onClick={() => move(0.5)} />
          <Choice
            label={t("events.timeline.by")}
            hideLabel
            value={by}
            options={(["camera", "rule"] as const).map((value) => ({
              value,
              label: t(`events.timeline.${value}`),
            }))}
            onValue={(value) => setQuery({ by: value === "camera" ? null : value })}
          />
        </div>
      </div>
      <Whichever of={loaded}>
        {(found) => <Lanes found={found} zoom={zoom} isByRule={by === "rule"} />}
      </Whichever>
    </section>
  );
}

function Lanes({
  found,
  zoom,
  isByRule,
}: {
  found: Timeline;
  zoom: (factor: number) => void;
  isByRule: boolean;
}) {
  const zone = timezone();
  const until = found.since + found.bins * found.bin_s;
  const most = Math.max(1, ...found.lanes.flatMap((lane) => lane.counts));
  const ticks = ticksOf(found.since, until, 8, (at, later) => startOfDay(at, zone, later));
  const isLong = until - found.since > 3 * 24 * HOUR;
  const hasGaps = found.lanes.some((lane) => gapsOf(lane.known).length > 0);
  return (
    <div class="lanes">
      {found.lanes.map((lane) => (
        <LaneRow
          key={`${lane.camera} ${lane.rule}`}
          lane={lane}
          found={found}
          most={most}
          zoom={zoom}
          isByRule={isByRule}
        />
      ))}
      <div class="lane-axis" aria-hidden="true">
        {ticks.map((at) => (
          <span
            key={at}
            style={{ left: `${((at - found.since) / (until - found.since)) * 100}%` }}
          >
            {isLong ? shortDay(at, zone) : clock(at, zone)}
          </span>
        ))}
      </div>
      <p class="timeline-notes small muted">
        {hasGaps && (
          <span class="timeline-key">
            <i class="hatch" aria-hidden="true" /> {t("events.timeline.hatched")}
          </span>
        )}
        {found.edits.length > 0 && (
          <span class="timeline-key">
            <i class="lane-edit-key" aria-hidden="true" /> {t("events.timeline.edited")}
          </span>
        )}
        {found.cut && <span>{t("events.timeline.cut")}</span>}
      </p>
    </div>
  );
}

function shortDay(at: number, zone: string): string {
  const parts = { day: "numeric", month: "short", timeZone: zone } as const;
  return new Intl.DateTimeFormat(locale.value, parts).format(at * 1000);
}

/** One row: a list of moments that the arrow keys go through, and that a pointer can choose. */
function LaneRow({
  lane,
  found,
  most,
  zoom,
  isByRule,
}: {
  lane: Lane;
  found: Timeline;
  most: number;
  zoom: (factor: number) => void;
  isByRule: boolean;
}) {
  const at = useSignal<number | null>(null);
  const from = useSignal<number | null>(null);
  const row = useRef<HTMLDivElement>(null);
  const zone = timezone(lane.camera);
  const name = lane.rule ? `${lane.camera} · ${lane.rule}` : lane.camera || "–";
  const total = lane.counts.reduce((sum, count) => sum + count, 0);
  const past = lane.known.filter((share): share is number => share !== null);
  const known = past.length ? past.reduce((sum, share) => sum + share, 0) / past.length : 0;
  const place = (event: PointerEvent) => {
    const box = row.current?.getBoundingClientRect();
    return box ? binAt(found, (event.clientX - box.left) / box.width) : 0;
  };
  const pick = (one: number, other: number) => {
    const [since, until] = spanBetween(found, one, other);
    const before = filters.peek();
    choose({
      ...before,
      camera: lane.camera ? [lane.camera] : before.camera,
      rule: isByRule && lane.rule ? [lane.rule] : before.rule,
      since,
      until,
    });
  };
  const onKey = (event: KeyboardEvent) => {
    const here = at.value ?? found.bins - 1;
    const goal = {
      ArrowLeft: here - 1,
      ArrowRight: here + 1,
      Home: 0,
      End: found.bins - 1,
      PageUp: here - 12,
      PageDown: here + 12,
    }[event.key];
    if (goal !== undefined) at.value = Math.max(0, Math.min(found.bins - 1, goal));
    else if (event.key === "Enter") pick(here, here);
    else if (event.key === "Escape") {
      at.value = null;
      choose({ ...filters.peek(), since: null, until: null });
    } else if (event.key === "+") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else return;
    event.preventDefault();
  };
  const edits = found.edits.filter(
    (one) => one.camera === lane.camera && (!lane.rule || one.rule === lane.rule),
  );
  const words = (bin: number) => {
    const share = lane.known[bin];
    const edited = edits.filter((one) => Math.floor((one.at - found.since) / found.bin_s) === bin);
    const said = edited.map((one) => t("events.timeline.edit", { rule: one.rule }));
    return [wordsOf(bin, share), ...new Set(said)].join("; ");
  };
  const until = found.since + found.bins * found.bin_s;
  const wordsOf = (bin: number, share: number | null | undefined) =>
    t("events.timeline.bin", {
      when: moment(found.since + bin * found.bin_s, zone),
      n: tn("events.n", lane.counts[bin] ?? 0),
      known: share === null || share === undefined ? "–" : percent(share),
    });
  const label = t("events.timeline.row", {
    name,
    n: tn("events.n", total),
    known: percent(known),
  });
  const chosen = filters.value;
  const isChosen = chosen.since !== null && chosen.until !== null;
  const [first, last] = isChosen
    ? [
        Math.max(0, ((chosen.since ?? 0) - found.since) / found.bin_s),
        Math.min(found.bins, ((chosen.until ?? until) - found.since) / found.bin_s),
      ]
    : [0, 0];
  return (
    <div class="lane">
      <span class="lane-name" title={name}>
        {name}
      </span>
      <div
        ref={row}
        class="lane-row"
        role="slider"
        tabIndex={0}
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={found.bins - 1}
        aria-valuenow={at.value ?? found.bins - 1}
        aria-valuetext={words(at.value ?? found.bins - 1)}
        onKeyDown={onKey}
        onFocus={() => {
          at.value ??= found.bins - 1;
        }}
        onBlur={() => {
          at.value = null;
        }}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          from.value = place(event);
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => {
          at.value = place(event);
        }}
        onPointerLeave={() => {
          if (from.value === null) at.value = null;
        }}
        onPointerUp={(event) => {
          if (from.value === null) return;
          pick(from.value, place(event));
          from.value = null;
        }}
        onPointerCancel={() => {
          from.value = null;
        }}
        onWheel={(event) => {
          if (!event.ctrlKey) return;
          event.preventDefault();
          zoom(event.deltaY > 0 ? 1.5 : 1 / 1.5);
        }}
      >
        {gapsOf(lane.known).map((gap) => (
          <i
            key={gap.first}
            class="hatch lane-gap"
            data-first={gap.first}
            data-length={gap.length}
            style={{
              left: `${(gap.first / found.bins) * 100}%`,
              width: `${(gap.length / found.bins) * 100}%`,
              opacity: String(1 - 0.6 * gap.known),
            }}
          />
        ))}
        <svg viewBox={`0 0 ${found.bins} 1`} preserveAspectRatio="none" aria-hidden="true">
          {lane.counts.map((count, bin) => {
            const height = heightOf(count, most);
            return count ? (
              <rect key={bin} x={bin + 0.08} y={1 - height} width={0.84} height={height} />
            ) : null;
          })}
        </svg>
        {edits.map((one) => (
          <i
            key={`${one.at} ${one.rule}`}
            class="lane-edit"
            title={`${moment(one.at, zone)}: ${t("events.timeline.edit", { rule: one.rule })}`}
            style={{ left: `${((one.at - found.since) / (until - found.since)) * 100}%` }}
          />
        ))}
        {isChosen && last > first && (
          <i
            class="lane-chosen"
            style={{
              left: `${(first / found.bins) * 100}%`,
              width: `${((last - first) / found.bins) * 100}%`,
            }}
          />
        )}
        {at.value !== null && (
          <i
            class="lane-at"
            style={{
              left: `${(Math.min(at.value, from.value ?? at.value) / found.bins) * 100}%`,
              width: `${((Math.abs(at.value - (from.value ?? at.value)) + 1) / found.bins) * 100}%`,
            }}
          />
        )}
        {at.value !== null && (
          <span
            class={at.value > found.bins / 2 ? "lane-words lane-words-left" : "lane-words"}
            style={{ "--at": `${((at.value + 0.5) / found.bins) * 100}%` }}
            aria-hidden="true"
          >
            {words(at.value)}
          </span>
        )}
      </div>
      <span class="lane-sum">{total || ""}</span>
    </div>
  );
}

/** The chosen span in words, with a way back to all. */
export function ChosenSpan() {
  const { since, until } = filters.value;
  if (since === null && until === null) return null;
  const zone = timezone();
  const from = since === null ? "…" : moment(since, zone);
  const isOneDay = since !== null && until !== null && day(since, zone) === day(until, zone);
  const to = until === null ? "…" : isOneDay ? clock(until, zone) : moment(until, zone);
  const span = `${from} – ${to}`;
  return (
    <Button
      small
      icon="close"
      aria-label={t("events.filter.remove", { name: span })}
      onClick={() => choose({ ...filters.peek(), since: null, until: null })}
    >
      {span}
    </Button>
  );
}
