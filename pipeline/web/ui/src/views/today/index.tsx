/** The opening page: the day so far against the same day of the week before, up to this minute. */

import { ApiError, get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, number, t, tn } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { query, setQuery } from "../../app/router.ts";
import { may, site } from "../../app/session.ts";
import { clock, date, day } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import { Button, ButtonLink, IconButton } from "../../parts/button.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Page } from "../../parts/page.tsx";
import { Said } from "../../parts/said.tsx";
import { Empty, Whichever } from "../../parts/states.tsx";
import { AuditLine } from "../numbers/audit_line.tsx";
import { dayAfter } from "../numbers/days.ts";
import { eventsAddress, numbersAddress } from "../numbers/links.ts";
import {
  changeText,
  ENOUGH,
  leastText,
  measureName,
  minutesText,
  secondsText,
  shareText,
  typeName,
  unknownText,
  valueText,
} from "../numbers/words.ts";
import { ArmedStrip } from "../watching/strip.tsx";
import { HourBars } from "./hour_bars.tsx";
import { texts } from "./texts.ts";
import "./today.css";

addTexts(texts);

type Today = components["schemas"]["TodayAnswer"];
type Day = components["schemas"]["DayOfSite"];
type Rule = components["schemas"]["DayOfRule"];
type Figure = components["schemas"]["DayFigure"];
type Compared = components["schemas"]["ComparedNumber"];
type Short = components["schemas"]["HealthInShort"];

const EVERY_MS = 30_000;

export default function TodayView() {
  const chosen = query.value.get("day");
  const today = useLoaded<Today>(
    (signal) => get("/today", { day: chosen }, { signal }),
    [chosen],
    EVERY_MS,
  );
  const shown = today.value.value?.sites[0];
  return (
    <Page title={shown ? titleOf(shown) : t("today.title")} actions={shown && <DayChoice shown={shown} chosen={chosen} />}>
      <Whichever of={today}>
        {(found) => (
          <>
            <div class="today-strips">
              <HealthStrip health={found.health} />
              <ArmedStrip />
            </div>
            {found.sites.map((one) => (
              <SiteOfDay key={one.site} one={one} isNamed={found.sites.length > 1} />
            ))}
            {found.sites.length === 0 && <NothingCounts />}
            {found.sites.length > 0 && <Unreviewed />}
          </>
        )}
      </Whichever>
    </Page>
  );
}

/** Today, if it is; else which day it is. */
function titleOf(shown: Day): string {
  const isToday = shown.reason === "today" || shown.reason === "none" || shown.is_to_date;
  return isToday ? t("today.title") : day(shown.since, shown.timezone);
}

function DayChoice({ shown, chosen }: { shown: Day; chosen: string | null }) {
  const to = (later: number) => () => setQuery({ day: dayAfter(shown.day, later) });
  const isLast = !chosen || shown.is_to_date;
  return (
    <>
      <IconButton icon="left" label={t("today.day_before")} onClick={to(-1)} />
      <IconButton icon="right" label={t("today.day_after")} onClick={to(1)} disabled={isLast} />
      {chosen && (
        <Button small kind="quiet" onClick={() => setQuery({ day: null })}>
          {t("today.latest")}
        </Button>
      )}
    </>
  );
}

function NothingCounts() {
  return (
    <Empty icon="numbers" title={t("today.none")} text={t("today.none_text")}>
      {may("edit") && (
        <ButtonLink kind="primary" href="/edit">
          {t("today.to_edit")}
        </ButtonLink>
      )}
      <ButtonLink href="/live">{t("today.to_live")}</ButtonLink>
    </Empty>
  );
}

function HealthStrip({ health }: { health: Short }) {
  if (health.troubles.length === 0) {
    return (
      <a class={health.ok ? "health-strip" : "health-strip health-strip-unknown"} href="/health">
        <Icon name={health.ok ? "check" : "info"} size={18} />
        <span>{t(health.ok ? "today.well" : "today.well_partly")}</span>
      </a>
    );
  }
  return (
    <section class="health-strip health-strip-bad" aria-label={t("today.to_health")}>
      <Icon name="warning" size={20} />
      <div>
        <a href="/health">{tn("today.trouble", health.troubles.length + health.more)}</a>
        <ul>
          {health.troubles.map((one) => (
            <li key={one.sentence}>
              <Said text={one.sentence} />
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}

function SiteOfDay({ one, isNamed }: { one: Day; isNamed: boolean }) {
  return (
    <section class="day" aria-label={one.site}>
      <header class="day-head">
        <h2 class={isNamed ? undefined : "unseen"}>{one.site}</h2>
        <p>
          <strong>{date(one.since, one.timezone)}</strong>
          {one.is_to_date && ` · ${t("today.until", { time: clock(one.until, one.timezone) })}`}
          {` · ${hoursText(one)}`}
        </p>
        {one.holiday && <Badge tone="accent">{one.holiday}</Badge>}
      </header>
      {(one.reason === "old" || one.reason === "not_open_yet" || one.reason === "none") && (
        <p class="day-reason">
          <Icon name="info" size={18} /> {t(`today.reason.${one.reason}`)}
        </p>
      )}
      {one.no_sales && <p class="day-reason">{t("today.no_sales", { reason: one.no_sales })}</p>}
      <Headlines one={one} />
      <div class="day-rules">
        {one.rules.map((rule) => (
          <RuleOfDay key={`${rule.camera}/${rule.rule}`} rule={rule} of={one} />
        ))}
      </div>
    </section>
  );
}

function hoursText(one: Day): string {
  if (one.opens.length === 0) return t("today.closed");
  const hours = one.opens.map(
    (open) => `${clock(open.since, one.timezone)}–${closingText(open, one)}`,
  );
  return t("today.open", { hours: hours.join(", ") });
}

function closingText(open: Day["opens"][number], one: Day): string {
  const text = clock(open.until, one.timezone);
  return text === "00:00" ? "24:00" : text;
}

const WHOLE = { decimals: 0, suffix: "", over_time: "sum", unit: "" };

function Headlines({ one }: { one: Day }) {
  const doors = one.rules.filter((rule) => rule.is_entrance);
  if (!one.came_in || doors.length < 2) {
    if (!one.sold && one.mean_stay_s === null) return null;
  }
  const worst = doors.reduce<Rule | null>(
    (least, rule) => (least && least.coverage <= rule.coverage ? least : rule),
    null,
  );
  return (
    <dl class="headlines">
      {one.came_in && doors.length > 1 && (
        <Headline name={t("today.came_in")} figure={one.came_in} of={one} gaps={worst} />
      )}
      {one.went_out && doors.length > 1 && (
        <Headline name={t("today.went_out")} figure={one.went_out} of={one} gaps={worst} />
      )}
      {one.mean_stay_s !== null && (
        <div class="headline">
          <dt>{t("today.stay")}</dt>
          <dd class="big">{secondsText(one.mean_stay_s)}</dd>
        </div>
      )}
      {one.sold && (
        <div class="headline">
          <dt>{t("today.sold")}</dt>
          <dd class="big">{one.sold.conversion === null ? "–" : shareText(one.sold.conversion)}</dd>
          {one.sold.transactions !== null && (
            <dd class="versus">{t("today.transactions", { n: number(one.sold.transactions) })}</dd>
          )}
        </div>
      )}
    </dl>
  );
}

function Headline({
  name,
  figure,
  of,
  gaps,
}: {
  name: string;
  figure: Compared;
  of: Day;
  gaps: Rule | null;
}) {
  return (
    <div class="headline">
      <dt>{name}</dt>
      <Big figure={{ ...figure, ...WHOLE }} />
      <Versus figure={{ ...figure, ...WHOLE }} of={of} gaps={gaps} />
    </div>
  );
}

type Shown = Compared & { decimals: number; suffix: string; over_time: string; unit: string };

function Big({ figure }: { figure: Shown }) {
  const text = valueText(figure.value, figure);
  const isLeast = isAtLeast(figure);
  return (
    <dd class={figure.is_complete ? "big" : "big big-partly"}>
      {isLeast ? (
        <>
          <span aria-hidden="true">≥ {text}</span>
          <span class="unseen">{leastText(text)}</span>
        </>
      ) : figure.value === null ? (
        <>
          <span aria-hidden="true">–</span>
          <span class="unseen">{unknownText()}</span>
        </>
      ) : (
        text
      )}
    </dd>
  );
}

/** A sum of which some time is not known. */
function isAtLeast(figure: Shown): boolean {
  const grows = figure.over_time === "sum" || figure.over_time === "max";
  return !figure.is_complete && grows && figure.value !== null;
}

function Versus({ figure, of, gaps }: { figure: Shown; of: Day; gaps: Rule | null }) {
  const before = day(of.before_until - 1, of.timezone);
  if (!figure.is_complete) {
    if (!gaps || of.open_minutes === 0) return null;
    if (figure.value === null) return <dd class="versus">{t("today.unknown")}</dd>;
    const spans = gaps.gaps
      .slice(0, 2)
      .map((gap) => `${clock(gap.since, of.timezone)}–${clock(gap.until, of.timezone)}`);
    const when = spans.length > 0 ? t("today.when", { spans: spans.join(", ") }) : "";
    const key = isAtLeast(figure) ? "today.incomplete" : "today.incomplete_other";
    return (
      <dd class="versus versus-partly">
        {t(key, { duration: minutesText(gaps.missing_minutes), when })}
      </dd>
    );
  }
  if (figure.before === null) {
    return <dd class="versus">{t("today.no_before", { day: before })}</dd>;
  }
  if (figure.coverage_before < ENOUGH) {
    const percent = shareText(figure.coverage_before);
    return <dd class="versus">{t("today.before_partly", { percent, day: before })}</dd>;
  }
  const words = {
    before: valueText(figure.before, figure),
    day: before,
    time: clock(of.before_until, of.timezone),
  };
  return (
    <dd class="versus">
      {figure.change !== null && (
        <span class="change" data-way={figure.change > 0 ? "up" : figure.change < 0 ? "down" : "same"}>
          {changeText(figure.change)}
        </span>
      )}
      {t(of.is_to_date ? "today.versus_until" : "today.versus", words)}
    </dd>
  );
}

function RuleOfDay({ rule, of }: { rule: Rule; of: Day }) {
  const [first, ...others] = shownFigures(rule);
  if (!first) return null;
  const running = of.is_to_date ? clock(of.until, of.timezone).slice(0, 2) : null;
  const name = `${rule.camera}/${rule.rule}`;
  const hourly = rule.figures[0] ?? first;
  return (
    <article class="rule-day" aria-label={name}>
      <header>
        <h3>{rule.rule}</h3>
        <p class="muted small">
          {rule.camera} · {typeName(rule.type)}
        </p>
      </header>
      <dl class="headline">
        <dt>{measureName(first)}</dt>
        <Big figure={first} />
        <Versus figure={first} of={of} gaps={rule} />
        {!!first.outside && (
          <dd class="versus">{t("today.outside", { value: valueText(first.outside, first) })}</dd>
        )}
      </dl>
      <HourBars
        what={measureName(hourly)}
        hours={rule.by_hour}
        how={hourly}
        now={running}
        edits={rule.edits.map((one) => clock(one.at, of.timezone))}
      />
      {rule.edits.map((one) => (
        <p key={one.at} class="edited-note muted small">
          {t("today.edited", { time: clock(one.at, of.timezone) })}
          {one.changed && `: ${one.changed}`}
        </p>
      ))}
      {others.length > 0 && (
        <dl class="others">
          {others.map((one) => (
            <div key={one.name}>
              <dt>{measureName(one)}</dt>
              <dd class={one.is_complete ? undefined : "big-partly"}>
                {isAtLeast(one) && "≥ "}
                {valueText(one.value, one)}
              </dd>
            </div>
          ))}
        </dl>
      )}
      {rule.stays && rule.stays.visits > 0 && rule.stays.median_s !== null && (
        <p class="muted small">
          {t("today.visits_median", {
            n: number(rule.stays.visits),
            duration: secondsText(rule.stays.median_s),
          })}
        </p>
      )}
      <footer>
        {rule.audit && <AuditLine audit={rule.audit} timezone={of.timezone} />}
        <a href={numbersAddress([name], of.day, of.day)}>{t("today.more")}</a>
        <a
          href={eventsAddress({
            camera: rule.camera,
            rule: rule.rule,
            since: of.since,
            until: of.until,
          })}
        >
          {tn("today.events", rule.events)}
        </a>
      </footer>
    </article>
  );
}

/** What a summary shows of a rule; all of it where that is nothing. */
function shownFigures(rule: Rule): Figure[] {
  const main = rule.figures.filter((one) => one.is_main);
  return main.length > 0 ? main : rule.figures;
}

interface EventPage {
  events: { id: string; camera: string; rule: string; began_at: number }[];
}

const MOST_TO_REVIEW = 4;

/** The newest events that nobody has looked at yet. */
function Unreviewed() {
  const page = useLoaded<EventPage | null>(
    (signal) =>
      get<EventPage | null>("/events", { reviewed: false, limit: MOST_TO_REVIEW }, { signal }).catch(
        (error: unknown) => {
          // Without the events of this installation there is nothing to say about them.
          if (error instanceof ApiError && error.status === 404) return null;
          throw error;
        },
      ),
    [],
    EVERY_MS,
  );
  const found = page.value.value;
  if (!found || !site.value) return null;
  return (
    <section class="review" aria-label={t("today.review")}>
      <h2>{found.events.length > 0 ? t("today.review") : t("today.review_none")}</h2>
      <ul>
        {found.events.map((one) => (
          <li key={one.id}>
            <a href={`/events?event=${encodeURIComponent(one.id)}`}>
              <span>{one.rule}</span>
              <span class="muted small">
                {one.camera} · <Moment at={one.began_at} camera={one.camera} />
              </span>
            </a>
          </li>
        ))}
      </ul>
      <a href="/events">{t("today.review_all")}</a>
    </section>
  );
}

function Moment({ at, camera }: { at: number; camera: string }) {
  const zone = site.value?.cameras.find((one) => one.name === camera)?.timezone ?? "UTC";
  return (
    <>
      {day(at, zone)}, {clock(at, zone)}
    </>
  );
}
