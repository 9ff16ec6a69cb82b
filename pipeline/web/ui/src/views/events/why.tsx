/** Why it was reported: the rule in words, what was measured, and how things stood. */

import { number, percent, t, tn } from "../../app/language.ts";
import { timezone } from "../../app/session.ts";
import { duration, moment } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import type { EventDetail } from "./model.ts";
import { Fact, Part } from "./panel.tsx";
import { ruleSentence } from "./words.ts";

export function Why({ detail }: { detail: EventDetail }) {
  const { why, event } = detail;
  const zone = timezone(event.camera);
  const said = why.is_known ? ruleSentence(why.type, why.terms) : null;
  const look = event.second_look;
  return (
    <Part title={t("events.why")}>
      {!why.is_known && !event.type.startsWith("camera_") && event.camera && (
        <p class="muted">{t("events.why.gone")}</p>
      )}
      {said && <p>{t(said.key, said.values)}</p>}
      {why.edited_at !== null && (
        <p class="muted">{t("events.why.edited", { when: moment(why.edited_at, zone) })}</p>
      )}
      {why.measured.length > 0 && (
        <ul class="limits">
          {why.measured.map((one) => (
            <li key={one.limit_name}>
              <span>{t(`events.measure.${one.measured}`)}</span>
              <Bar value={one.value} limit={one.limit} />
              <span class="limits-words">
                {valueOf(one.value, one)}{" "}
                <span class="muted">/ {t("events.why.limit", { limit: valueOf(one.limit, one) })}</span>
              </span>
            </li>
          ))}
        </ul>
      )}
      {look && (
        <p class="row">
          <Badge tone={look.outcome === "confirmed" ? "good" : look.outcome === "rejected" ? "bad" : "plain"}>
            {t(`events.verdict.${event.verdict}`)}
          </Badge>
          <span>
            {look.answer
              ? t("events.why.look.said", { engine: look.engine, answer: look.answer })
              : t("events.why.look.none", { reason: look.reason })}
          </span>
          {look.probability !== null && (
            <span class="muted">{t("events.why.probability", { p: percent(look.probability) })}</span>
          )}
        </p>
      )}
      <dl class="facts">
        {why.is_known && (
          <Fact name={t(why.schedule ? "events.why.schedule" : "events.why.always")}>
            {why.schedule ? (
              <>
                <code>{why.schedule}</code>{" "}
                {why.was_scheduled !== null && (
                  <span class="muted">
                    {t(why.was_scheduled ? "events.why.inside" : "events.why.outside")}
                  </span>
                )}
              </>
            ) : (
              "✓"
            )}
          </Fact>
        )}
        {why.armed && (
          <Fact name={t("events.why.armed")}>
            {t(why.armed.is_armed ? "events.why.armed.yes" : "events.why.armed.no", {
              by: why.armed.by,
            })}
          </Fact>
        )}
        {(why.cooldown_s > 0 || why.silenced > 0) && (
          <Fact name={t("events.why.cooldown")}>
            {duration(why.cooldown_s)}
            {why.silenced > 0 && <>, {tn("events.why.silenced", why.silenced)}</>}
          </Fact>
        )}
        {why.coverage !== null && (
          <Fact name={t("events.why.coverage")}>
            {percent(why.coverage)}
            {why.withheld > 0 && <>, {tn("events.why.withheld", why.withheld)}</>}
          </Fact>
        )}
      </dl>
      {detail.path.length > 1 && (
        <p class="small muted">
          {t("events.why.path", {
            n: number(detail.path.length),
            seconds: duration((detail.path.at(-1)?.at ?? 0) - (detail.path[0]?.at ?? 0)),
          })}
        </p>
      )}
      {why.terms.length > 0 && (
        <details>
          <summary>{t("events.why.terms")}</summary>
          <dl class="facts">
            {why.terms.map((term) => (
              <Fact key={term.name} name={term.name}>
                <code>{term.value}</code> <span class="small muted">{term.meaning}</span>
              </Fact>
            ))}
          </dl>
        </details>
      )}
    </Part>
  );
}

type Limit = EventDetail["why"]["measured"][number];

function valueOf(value: number, one: Limit): string {
  if (one.measured === "seconds") return duration(value);
  if (one.measured === "probability" || one.measured === "coverage") return percent(value);
  const digits = Number.isInteger(value) ? 0 : 1;
  return `${number(value, digits)}${one.unit ? ` ${one.unit}` : ""}`;
}

/** The measured value as a bar, with a mark at the limit. */
function Bar({ value, limit }: { value: number; limit: number }) {
  const most = Math.max(value, limit, 1e-9) * 1.1;
  return (
    <svg class="limits-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect class="limits-all" x={0} y={1} width={100} height={6} rx={3} />
      <rect class="limits-value" x={0} y={1} width={(value / most) * 100} height={6} rx={3} />
      <rect class="limits-mark" x={(limit / most) * 100 - 0.5} y={0} width={1} height={8} />
    </svg>
  );
}
