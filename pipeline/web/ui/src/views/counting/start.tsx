/** What is to be counted; and what was begun and is not done. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, del, get, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { query, setQuery } from "../../app/router.ts";
import { now, timezone } from "../../app/session.ts";
import { fromInput, inputValue, moment } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { SelectField, TextField } from "../../parts/field.tsx";
import { Card } from "../../parts/page.tsx";
import { Empty, sentenceOf, Whichever } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import { keepHalf } from "./marks.ts";

type Rule = components["schemas"]["CountableRule"];
type Footage = components["schemas"]["Footage"];
type OpenCount = components["schemas"]["OpenCount"];

const DEADLINE_MS = 60_000;
const LONGEST_S = 31 * 86_400;
const WEEK_S = 7 * 86_400;
const MINUTE_S = 60;
const MOST_SPANS = 3;
const SAMPLES = ["10", "20", "40", "100"] as const;
type Samples = (typeof SAMPLES)[number];

export function Start({ onDrawn }: { onDrawn: (count: OpenCount) => void }) {
  const rules = useLoaded<Rule[]>((signal) => get("/audits/rules", {}, { signal }));
  return (
    <>
      <HalfDone />
      <Card>
        <p class="muted">{t("count.intro")}</p>
        <Whichever of={rules}>
          {(found) =>
            found.length === 0 ? (
              <Empty icon="numbers" title={t("count.none")} text={t("count.none_text")} />
            ) : (
              <Form rules={found} onDrawn={onDrawn} />
            )
          }
        </Whichever>
      </Card>
    </>
  );
}

function keyOf(rule: { camera: string; rule: string }): string {
  return `${rule.camera}/${rule.rule}`;
}

function Form({ rules, onDrawn }: { rules: Rule[]; onDrawn: (count: OpenCount) => void }) {
  const wanted = query.value.get("rule");
  const first = rules.find((rule) => rule.why_not === null) ?? rules[0];
  const chosen = rules.find((rule) => keyOf(rule) === wanted) ?? first;
  const camera = chosen?.camera ?? "";
  const zone = timezone(camera);
  const footage = useLoaded<Footage>(
    (signal) => get("/audits/footage", { camera }, { signal, deadlineMs: DEADLINE_MS }),
    [camera],
  );
  const since = useSignal("");
  const until = useSignal("");
  const samples = useSignal<Samples>("20");
  const problems = useSignal<Record<string, string>>({});
  const isBusy = useSignal(false);
  const there = footage.value.value;
  useEffect(() => {
    if (!there) return;
    const span = usualSpan(there);
    since.value = inputValue(span.since, zone);
    until.value = inputValue(span.until, zone);
  }, [there]);
  if (!chosen) return null;
  const begin = async () => {
    const span = { since: fromInput(since.value, zone), until: fromInput(until.value, zone) };
    problems.value = {};
    isBusy.value = true;
    try {
      const count = await post<OpenCount>(
        "/audits",
        { camera, rule: chosen.rule, ...span, samples: Number(samples.value) },
        { deadlineMs: DEADLINE_MS },
      );
      onDrawn(count);
    } catch (error) {
      const place = error instanceof ApiError ? (error.place ?? "form") : "form";
      problems.value = { [["since", "until"].includes(place) ? place : "form"]: sentenceOf(error) };
      isBusy.value = false;
    }
  };
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void begin();
      }}
    >
      <SelectField
        label={t("count.which")}
        value={keyOf(chosen)}
        options={rules.map((rule) => ({ value: keyOf(rule), label: keyOf(rule) }))}
        problem={chosen.why_not}
        onValue={(value) => setQuery({ rule: value })}
      />
      <Whichever of={footage}>
        {(found) => (
          <>
            <p class="muted small">{footageText(found, zone)}</p>
            <div class="count-fields">
              <TextField
                label={t("count.since")}
                type="datetime-local"
                required
                value={since.value}
                problem={problems.value["since"]}
                onValue={(value) => {
                  since.value = value;
                }}
              />
              <TextField
                label={t("count.until")}
                type="datetime-local"
                required
                value={until.value}
                problem={problems.value["until"]}
                onValue={(value) => {
                  until.value = value;
                }}
              />
              <SelectField
                label={t("count.samples")}
                hint={t("count.samples_hint")}
                value={samples.value}
                options={SAMPLES.map((value) => ({ value, label: value }))}
                onValue={(value) => {
                  samples.value = value;
                }}
              />
            </div>
          </>
        )}
      </Whichever>
      {problems.value["form"] && (
        <p class="field-problem" role="alert">
          {problems.value["form"]}
        </p>
      )}
      <div class="row">
        <Button
          type="submit"
          kind="primary"
          disabled={isBusy.value || chosen.why_not !== null || !there}
        >
          {t("count.begin")}
        </Button>
        {isBusy.value && (
          <span class="muted" role="status">
            {t("count.drawing")}
          </span>
        )}
      </div>
    </form>
  );
}

/** All that there is, at most a month; of a live camera the last week. */
function usualSpan(footage: Footage): { since: number; until: number } {
  const first = footage.spans[0];
  const last = footage.spans.at(-1);
  if (!first || !last) return { since: now() - WEEK_S, until: now() };
  // Whole minutes, as the field has them.
  const until = Math.ceil(last.until / MINUTE_S) * MINUTE_S;
  return { since: Math.max(first.since, until - LONGEST_S), until };
}

function footageText(footage: Footage, zone: string): string {
  if (!footage.is_recording) return t("count.footage.live");
  if (footage.spans.length === 0) return t("count.footage.none");
  const shown = footage.spans
    .slice(-MOST_SPANS)
    .map((span) => `${moment(span.since, zone)} – ${moment(span.until, zone)}`);
  const more = footage.spans.length > MOST_SPANS ? ["…"] : [];
  return t("count.footage", { spans: [...more, ...shown].join("; ") });
}

function HalfDone() {
  const counts = useLoaded<OpenCount[]>((signal) => get("/audits/open", {}, { signal }));
  const discarding = useSignal<OpenCount | null>(null);
  const found = counts.value.value;
  if (!found || found.length === 0) return null;
  const discard = async (count: OpenCount) => {
    discarding.value = null;
    try {
      await del(`/audits/${encodeURIComponent(count.id)}`);
      keepHalf(count.id, null);
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
    counts.again();
  };
  return (
    <Card title={t("count.half")}>
      <ul class="count-half">
        {found.map((count) => {
          const text = t("count.half_of", {
            camera: count.camera,
            rule: count.rule,
            done: count.clips.filter((clip) => clip.is_judged).length,
            n: count.clips.length,
          });
          return (
            <li key={count.id}>
              <span>
                {text}
                <span class="muted small"> · {moment(count.drawn_at, timezone(count.camera))}</span>
              </span>
              <span class="row">
                <Button
                  small
                  kind="primary"
                  aria-label={`${t("count.resume")}: ${text}`}
                  onClick={() => setQuery({ id: count.id })}
                >
                  {t("count.resume")}
                </Button>
                <Button
                  small
                  aria-label={`${t("count.discard")}: ${text}`}
                  onClick={() => {
                    discarding.value = count;
                  }}
                >
                  {t("count.discard")}
                </Button>
              </span>
            </li>
          );
        })}
      </ul>
      {discarding.value && (
        <Confirm
          danger
          title={t("count.discard_title")}
          text={t("count.discard_text")}
          action={t("count.discard")}
          onConfirm={() => discarding.value && void discard(discarding.value)}
          onClose={() => {
            discarding.value = null;
          }}
        />
      )}
    </Card>
  );
}
