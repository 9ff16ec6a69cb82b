/** How the deployment is; calm while it is well. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { call, get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, number, t, tn } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { may, timezone } from "../../app/session.ts";
import { clockSeconds, moment } from "../../app/times.ts";
import { Badge, type Tone } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Card, Page } from "../../parts/page.tsx";
import { Said } from "../../parts/said.tsx";
import { sentenceOf, Whichever } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { toast } from "../../parts/toast.tsx";
import { Watching } from "../watching/card.tsx";
import { daysText, shortTime, sizeText } from "./sizes.ts";
import { texts } from "./texts.ts";
import "./health.css";

addTexts(texts);

type Health = components["schemas"]["HealthAnswer"];
type Camera = components["schemas"]["SeenCamera"];
type Sink = components["schemas"]["SeenSink"];
type Engine = components["schemas"]["SeenEngine"];
type Trouble = components["schemas"]["SeenTrouble"];
type PushStatus = components["schemas"]["PushStatus"];
type Storage = components["schemas"]["StorageStatus"];

const EVERY_MS = 5_000;
const REFUSED = "/events?show=all&sent=refused";

export default function HealthView() {
  const health = useLoaded<Health>((signal) => get("/health", {}, { signal }), [], EVERY_MS);
  return (
    <Page title={t("health.title")} actions={<Diagnostic />}>
      <Whichever of={health}>{(found) => <Found health={found} />}</Whichever>
    </Page>
  );
}

function Found({ health }: { health: Health }) {
  return (
    <>
      <Overall health={health} />
      {health.troubles.length > 0 && (
        <ul class="troubles">
          {health.troubles.map((one) => (
            <TroubleCard key={one.sentence} trouble={one} />
          ))}
        </ul>
      )}
      <Watching />
      {health.cameras.length > 0 && (
        <Cameras cameras={health.cameras} ofNewest={health.stored_of_newest} />
      )}
      {health.sinks.length > 0 && <Sinks sinks={health.sinks} />}
      {health.engines.length > 0 && <Engines engines={health.engines} />}
      <div class="health-beside">
        {health.storage && <StoreCard storage={health.storage} />}
        {health.push && <PushCard push={health.push} />}
      </div>
      <Further health={health} />
    </>
  );
}

function Overall({ health }: { health: Health }) {
  const wrong = health.troubles.length;
  const isWell = wrong === 0 && health.ok === true;
  const title = wrong
    ? tn("health.wrong", wrong)
    : isWell
      ? t(health.is_whole ? "health.well" : "health.mine_well")
      : t("health.partly");
  return (
    <section class="overall" data-state={wrong ? "bad" : isWell ? "good" : "unknown"}>
      <Icon name={wrong ? "warning" : isWell ? "check" : "info"} size={36} />
      <div>
        <h2>{title}</h2>
        <p>
          {isWell && health.is_whole && `${t("health.well_text")} `}
          {health.unseen && <Said text={`${health.unseen}. `} />}
          {!health.is_whole && `${t("health.only_mine")} `}
          <span class="muted">
            {t("health.asked", { time: clockSeconds(health.at, timezone()) })}
          </span>
        </p>
      </div>
    </section>
  );
}

function TroubleCard({ trouble }: { trouble: Trouble }) {
  const advice = `health.advice.${trouble.advice}`;
  const said = t(advice);
  return (
    <li class="trouble">
      <Icon name="warning" size={20} />
      <div>
        <p>
          <Said text={trouble.sentence} />
        </p>
        {said !== advice && (
          <p class="muted small">
            <Said text={said} />
          </p>
        )}
        {trouble.advice === "sink_refused" && <a href={REFUSED}>{t("health.to_refused")}</a>}
        {trouble.about === "camera" && may("media") && (
          <a href={`/live?camera=${encodeURIComponent(trouble.name)}`}>{t("health.to_live")}</a>
        )}
      </div>
    </li>
  );
}

const STATES: Record<string, Tone> = { online: "good", ended: "plain" };

function stateText(state: string | null): string {
  if (state === null) return t("health.unknown");
  const found = t(`health.state.${state}`);
  return found.startsWith("health.") ? state.replaceAll("_", " ") : found;
}

function Unknown() {
  return <span class="muted">{t("health.unknown")}</span>;
}

function known(value: number | null | undefined, text: (value: number) => string) {
  return value === null || value === undefined ? <Unknown /> : text(value);
}

function tookText(half: number | null | undefined, most: number | null | undefined) {
  if (most == null) return <Unknown />;
  if (half == null) return shortTime(most);
  return t("health.half_most", { half: shortTime(half), most: shortTime(most) });
}

/** How long something took; what is played from a file is of another time. */
function ownTime(one: Camera, half: number | null, most: number | null) {
  return one.is_recording ? <span class="muted">{t("health.recording")}</span> : tookText(half, most);
}

function Cameras({
  cameras,
  ofNewest,
}: {
  cameras: readonly Camera[];
  ofNewest: number | null;
}) {
  const columns: Column<Camera>[] = [
    {
      key: "camera",
      title: t("health.camera"),
      cell: (one) => (
        <>
          <strong>{one.name}</strong>
          {one.is_recording && <span class="muted small"> · {t("health.recording")}</span>}
        </>
      ),
    },
    {
      key: "state",
      title: t("health.state"),
      cell: (one) => (
        <>
          <Badge tone={one.state === null ? "plain" : (STATES[one.state] ?? "bad")}>
            {stateText(one.state)}
          </Badge>
          {one.since !== null && one.state !== "online" && (
            <span class="muted small">
              {" "}
              {t("health.since", { time: moment(one.since, timezone(one.name)) })}
            </span>
          )}
          {one.troubles.map((trouble) => (
            <span class="trouble-line small" key={trouble.sentence}>
              <Said text={trouble.help ? `${trouble.sentence}; ${trouble.help}` : trouble.sentence} />
            </span>
          ))}
          {one.troubles.length === 0 && one.message && (
            <span class="trouble-line small">{one.message}</span>
          )}
        </>
      ),
    },
    {
      key: "rates",
      title: t("health.rates"),
      cell: (one) =>
        one.sampled_a_second === null ? (
          <Unknown />
        ) : (
          t("health.rates_text", {
            sampled: number(one.sampled_a_second, 1),
            judged: one.judged_a_second === null ? "?" : number(one.judged_a_second, 1),
          })
        ),
    },
    {
      key: "lag",
      title: t("health.lag"),
      isNumber: true,
      cell: (one) => known(one.lag_s, shortTime),
    },
    { key: "lost", title: t("health.lost"), cell: lostText },
    {
      key: "judged",
      title: t("health.judged"),
      isNumber: true,
      cell: (one) => ownTime(one, one.judged_p50_s, one.judged_p95_s),
    },
    {
      key: "stored",
      title: t("health.stored"),
      isNumber: true,
      cell: (one) => ownTime(one, one.stored_p50_s, one.stored_p95_s),
    },
  ];
  return (
    <Card title={t("health.cameras")}>
      <Table
        stacks
        caption={t("health.cameras")}
        columns={columns}
        rows={cameras}
        keyOf={(one) => one.name}
      />
      <p class="muted small">
        {t("health.of_hour")}
        {ofNewest !== null && ` ${t("health.of_newest", { n: number(ofNewest) })}`}
      </p>
    </Card>
  );
}

function lostText(one: Camera) {
  if (one.sampled === null) return <Unknown />;
  const lost = Object.entries(one.dropped).filter(([, n]) => n > 0);
  if (lost.length === 0) return t("health.none");
  return lost
    .sort(([, a], [, b]) => b - a)
    .map(([reason, n]) => t("health.lost_text", { n: number(n), reason: reason.replaceAll("_", " ") }))
    .join(", ");
}

function Sinks({ sinks }: { sinks: readonly Sink[] }) {
  const columns: Column<Sink>[] = [
    {
      key: "sink",
      title: t("health.sink"),
      cell: (one) => (
        <>
          <strong>{one.name}</strong> <span class="muted small">{one.type}</span>
        </>
      ),
    },
    {
      key: "state",
      title: t("health.sink_state"),
      cell: (one) => (
        <span class={one.is_well === false ? "trouble-line" : undefined}>
          {one.is_well === true && <Icon name="check" size={16} />} {one.state}
        </span>
      ),
    },
    {
      key: "behind",
      title: t("health.behind"),
      isNumber: true,
      cell: (one) =>
        one.behind && one.lag_s !== null
          ? t("health.behind_text", { n: number(one.behind), time: shortTime(one.lag_s) })
          : known(one.behind, number),
    },
    {
      key: "last",
      title: t("health.last_success"),
      cell: (one) => known(one.accepted_at, (at) => moment(at, timezone())),
    },
    {
      key: "took",
      title: t("health.took"),
      isNumber: true,
      cell: (one) => tookText(one.p50_s, one.p95_s),
    },
    { key: "hour", title: t("health.hour"), isNumber: true, cell: (one) => number(one.last_hour) },
    {
      key: "refused",
      title: t("health.refused"),
      cell: (one) =>
        one.undelivered ? (
          <a href={REFUSED}>{t("health.refused_see", { n: number(one.undelivered) })}</a>
        ) : (
          known(one.undelivered, number)
        ),
    },
  ];
  const cut = sinks.filter((one) => one.of_newest !== null);
  return (
    <Card title={t("health.sinks")}>
      <Table
        stacks
        caption={t("health.sinks")}
        columns={columns}
        rows={sinks}
        keyOf={(one) => one.name}
      />
      {cut.map((one) => (
        <p class="muted small" key={one.name}>
          {t("health.sink_newest", { sink: one.name, n: number(one.of_newest ?? 0) })}
        </p>
      ))}
    </Card>
  );
}

function Engines({ engines }: { engines: readonly Engine[] }) {
  const columns: Column<Engine>[] = [
    { key: "engine", title: t("health.engine"), cell: (one) => <strong>{one.name}</strong> },
    {
      key: "waiting",
      title: t("health.waiting"),
      isNumber: true,
      cell: (one) => known(one.waiting, number),
    },
    {
      key: "oldest",
      title: t("health.oldest"),
      isNumber: true,
      cell: (one) => (one.waiting === 0 ? "–" : known(one.oldest_s, shortTime)),
    },
    {
      key: "answered",
      title: t("health.answered"),
      isNumber: true,
      cell: (one) => known(one.answered, number),
    },
    {
      key: "batch",
      title: t("health.batch"),
      isNumber: true,
      cell: (one) => known(one.batch, (jobs) => number(jobs, 1)),
    },
    {
      key: "takes",
      title: t("health.takes"),
      isNumber: true,
      cell: (one) =>
        one.answer_p50_s === null || one.answer_p99_s === null ? (
          <Unknown />
        ) : (
          t("health.half_slowest", {
            half: shortTime(one.answer_p50_s),
            most: shortTime(one.answer_p99_s),
          })
        ),
    },
  ];
  if (engines.some((one) => one.budget.length > 0)) {
    columns.push({
      key: "spent",
      title: t("health.spent"),
      cell: (one) =>
        one.budget
          .map((b) =>
            t("health.spent_text", { used: number(b.used), most: number(b.most), of: b.of }),
          )
          .join(", "),
    });
  }
  return (
    <Card title={t("health.engines")}>
      <Table
        stacks
        caption={t("health.engines")}
        columns={columns}
        rows={engines}
        keyOf={(one) => one.name}
      />
      <p class="muted small">{t("health.of_engines")}</p>
    </Card>
  );
}

function StoreCard({ storage }: { storage: Storage }) {
  const rows: [string, ComponentChildren][] = [
    [t("health.store"), t("health.store_text", { place: storage.place, size: sizeText(storage.bytes) })],
    [t("health.media"), sizeText(storage.media_bytes)],
    [t("health.free"), known(storage.free_bytes, sizeText)],
    [
      t("health.grows"),
      known(storage.grows_bytes_a_day, (size) => t("health.a_day", { size: sizeText(size) })),
    ],
    [t("health.days_left"), known(storage.days_left, daysText)],
  ];
  return (
    <Card title={t("health.store")}>
      <dl class="facts">
        {rows.map(([name, text]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      {storage.trouble && <p class="trouble-line">{storage.trouble}</p>}
      {storage.days_left !== null && <p class="muted small">{t("health.estimated")}</p>}
    </Card>
  );
}

function PushCard({ push }: { push: PushStatus }) {
  const rows = (["devices", "sent", "waiting", "dropped", "gone", "failing"] as const).map(
    (name) => [name, push[name]] as const,
  );
  return (
    <Card title={t("health.push")}>
      <dl class="facts">
        {rows.map(([name, count]) => (
          <div key={name}>
            <dt>{t(`health.push.${name}`)}</dt>
            <dd>{number(count)}</dd>
          </div>
        ))}
      </dl>
      <p class="muted small">{t("health.push.about")}</p>
    </Card>
  );
}

function Further({ health }: { health: Health }) {
  return (
    <>
      {health.sequences.length > 0 && (
        <Card title={t("health.sequences")}>
          <Table
            stacks
            caption={t("health.sequences")}
            rows={health.sequences}
            keyOf={(one) => one.name}
            columns={[
              { key: "name", title: t("health.sequence"), cell: (one) => <strong>{one.name}</strong> },
              { key: "state", title: t("health.state"), cell: (one) => one.state },
              {
                key: "behind",
                title: t("health.behind"),
                isNumber: true,
                cell: (one) => known(one.behind, number),
              },
              {
                key: "reported",
                title: t("health.reported"),
                isNumber: true,
                cell: (one) => known(one.reported, number),
              },
            ]}
          />
        </Card>
      )}
      {health.second_looks.length > 0 && (
        <Card title={t("health.looks")}>
          <Table
            stacks
            caption={t("health.looks")}
            rows={health.second_looks}
            keyOf={(one) => `${one.camera}/${one.rule}`}
            columns={[
              { key: "rule", title: t("health.rule"), cell: (one) => `${one.camera}/${one.rule}` },
              {
                key: "waiting",
                title: t("health.waiting"),
                isNumber: true,
                cell: (one) => number(one.waiting),
              },
              {
                key: "outcomes",
                title: t("health.outcomes"),
                cell: (one) =>
                  [one.confirmed, one.rejected, one.unverified].map((n) => number(n)).join(", "),
              },
            ]}
          />
        </Card>
      )}
      {health.processes.length > 0 && (
        <Card title={t("health.processes")}>
          <Table
            stacks
            caption={t("health.processes")}
            rows={health.processes}
            keyOf={(one) => `${one.stage} ${one.host} ${one.pid}`}
            columns={[
              { key: "stage", title: t("health.process"), cell: (one) => <strong>{one.stage}</strong> },
              { key: "where", title: t("health.where"), cell: (one) => `${one.host} (${one.pid})` },
              {
                key: "up",
                title: t("health.up"),
                isNumber: true,
                cell: (one) => shortTime(one.up_s),
              },
              {
                key: "state",
                title: t("health.state"),
                cell: (one) =>
                  one.not_ready
                    ? `${t("health.not_ready")}: ${one.not_ready}`
                    : t(one.stands_by ? "health.standby" : "health.running"),
              },
            ]}
          />
        </Card>
      )}
      {(health.notes.length > 0 || health.run) && (
        <Card title={t("health.notes")}>
          <ul class="notes">
            {health.run && <li>{health.run.state}</li>}
            {health.notes.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}

/** Copies; shows the text where the browser lets nobody copy, as over plain http. */
function Diagnostic() {
  const shown = useSignal<string | null>(null);
  const copy = async () => {
    try {
      const text = await (await call("GET", "/health/diagnostic")).text();
      try {
        await navigator.clipboard.writeText(text);
        toast({ text: t("health.copied"), tone: "good" });
      } catch {
        shown.value = text;
      }
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
  };
  return (
    <>
      <Button small icon="copy" onClick={() => void copy()}>
        {t("health.copy")}
      </Button>
      {shown.value !== null && (
        <Dialog title={t("health.diagnostic")} onClose={() => (shown.value = null)}>
          <p class="muted">{t("health.diagnostic_text")}</p>
          <pre class="diagnostic" tabIndex={0}>
            {shown.value}
          </pre>
        </Dialog>
      )}
    </>
  );
}
