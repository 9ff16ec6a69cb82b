/** What became of it at each sink, and sending again what one refused. */

import { useSignal } from "@preact/signals";
import { post } from "../../api/client.ts";
import { t } from "../../app/language.ts";
import { may, site, timezone } from "../../app/session.ts";
import { clockSeconds, duration, moment } from "../../app/times.ts";
import { Badge, type Tone } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { sentenceOf as failureOf } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import type { components } from "../../api/schema.d.ts";
import type { EventDetail } from "./model.ts";
import { Part } from "./panel.tsx";

type Sent = EventDetail["sent"][number];
type Settled = components["schemas"]["SettledSaid"];
const TONES: Record<Sent["state"], Tone> = {
  delivered: "good",
  waiting: "warning",
  refused: "bad",
  "not sent": "plain",
};

export function Delivery({ detail, again }: { detail: EventDetail; again: () => void }) {
  const dropping = useSignal<string | null>(null);
  const isBusy = useSignal(false);
  const sinks = [...new Set(detail.sent.map((one) => one.sink))];
  const settle = async (what: "retry" | "drop", sink: string) => {
    isBusy.value = true;
    try {
      const choice = { event: detail.event.id, sink };
      const done = await post<Settled>(`/deliveries/${what}`, choice, { deadlineMs: 60_000 });
      if (done.trouble) toast({ text: done.trouble, tone: "bad" });
      else {
        const key = what === "retry" ? "events.delivery.sent" : "events.delivery.dropped";
        toast({ text: t(key, { sink }), tone: "good" });
      }
    } catch (error) {
      toast({ text: failureOf(error), tone: "bad" });
    } finally {
      isBusy.value = false;
      again();
    }
  };
  return (
    <Part title={t("events.delivery")}>
      {!sinks.length && <p class="muted">{t("events.delivery.none")}</p>}
      <ul class="sinks">
        {sinks.map((sink) => {
          const sent = detail.sent.filter((one) => one.sink === sink);
          const isRefused = sent.some((one) => one.state === "refused");
          const isThere = site.value?.sinks.includes(sink) ?? false;
          return (
            <li key={sink}>
              <div class="sink-head">
                <strong>{sink}</strong>
                {isRefused && may("deliver") && (
                  <span class="row">
                    {isThere && (
                      <Button small icon="refresh" disabled={isBusy.value} onClick={() => void settle("retry", sink)}>
                        {t("events.delivery.retry")}
                      </Button>
                    )}
                    <Button
                      small
                      icon="trash"
                      disabled={isBusy.value}
                      onClick={() => {
                        dropping.value = sink;
                      }}
                    >
                      {t("events.delivery.drop")}
                    </Button>
                  </span>
                )}
              </div>
              <ul class="sink-events">
                {sent.map((one) => (
                  <li key={one.record_id}>
                    <Badge tone={TONES[one.state]}>{t(`events.sent.${one.state}`)}</Badge>{" "}
                    {sent.length > 1 && <span>{t(`events.panel.phase.${one.phase}`)} · </span>}
                    <span class="muted">{words(one, timezone(detail.event.camera))}</span>
                  </li>
                ))}
              </ul>
            </li>
          );
        })}
      </ul>
      {dropping.value !== null && (
        <Confirm
          title={t("events.delivery.drop")}
          text={t("events.delivery.drop.ask", { sink: dropping.value })}
          action={t("events.delivery.drop")}
          danger
          onClose={() => {
            dropping.value = null;
          }}
          onConfirm={() => {
            const sink = dropping.value;
            dropping.value = null;
            if (sink !== null) void settle("drop", sink);
          }}
        />
      )}
    </Part>
  );
}

function words(one: Sent, zone: string): string {
  const said: string[] = [];
  if (one.state === "delivered") {
    if (one.at === null) said.push(t("events.delivery.unknown_time"));
    else said.push(moment(one.at, zone));
    if (one.after_s !== null) {
      said.push(t("events.delivery.after", { seconds: duration(one.after_s) }));
    }
  }
  if (one.attempts !== null) said.push(t("events.delivery.attempt", { n: one.attempts }));
  if (one.reason) said.push(one.reason);
  if (one.retry_at !== null) {
    said.push(t("events.delivery.next", { when: clockSeconds(one.retry_at, zone) }));
  }
  return said.join(", ");
}
