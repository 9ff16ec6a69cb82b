/** What is watched now: whether it is armed, and the rules, which operators switch here. */

import { useSignal } from "@preact/signals";
import { useId, useRef } from "preact/hooks";
import { get, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, number, t, tn } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { may, timezone } from "../../app/session.ts";
import { moment } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Card } from "../../parts/page.tsx";
import { sentenceOf } from "../../parts/states.tsx";
import { type Arm, type Armed, byText, isArmed, sinceText, useArming } from "./arming.ts";
import { texts } from "./texts.ts";
import "./watching.css";

addTexts(texts);

type Switches = components["schemas"]["SwitchesAnswer"];
type Rule = components["schemas"]["SwitchedRule"];
type ByHand = components["schemas"]["HandSwitch"];
/** Asks for something of a rule; what went wrong, or null. */
type Ask = (rule: Rule, wish: { enabled?: boolean; more_than?: number | null }) => Promise<string | null>;

const EVERY_MS = 10_000;

export function Watching() {
  const { loaded, arm } = useArming();
  const rules = useLoaded<Switches>((signal) => get("/switches", {}, { signal }), [], EVERY_MS);
  const ask: Ask = async ({ camera, rule }, wish) => {
    try {
      rules.value.value = await post<Switches>("/switches", { camera, rule, ...wish });
      return null;
    } catch (error) {
      return sentenceOf(error);
    }
  };
  const arming = loaded.value.value;
  const cameras = arming?.cameras ?? [];
  const all = rules.value.value?.rules ?? [];
  const shown = may("arm") ? all : all.filter(isOther);
  const failure = loaded.failure.value ?? rules.failure.value;
  if (cameras.length === 0 && shown.length === 0 && failure === null) return null;
  return (
    <Card
      title={t("watching.title")}
      actions={arming?.may_all && cameras.length > 1 && <AllOfThem arm={arm} />}
    >
      {failure !== null && (
        <p class="trouble-line" role="alert">
          {sentenceOf(failure)}
        </p>
      )}
      {cameras.length > 0 && (
        <ul class="watched">
          {cameras.map((one) => (
            <CameraLine key={one.camera} one={one} arm={arm} />
          ))}
        </ul>
      )}
      {shown.length > 0 && <Rules rules={shown} ask={ask} />}
    </Card>
  );
}

function AllOfThem({ arm }: { arm: Arm }) {
  return (
    <>
      <Button small onClick={() => void arm(null, true)}>
        {t("watching.arm_all")}
      </Button>
      <Button small onClick={() => void arm(null, false)}>
        {t("watching.disarm_all")}
      </Button>
    </>
  );
}

function CameraLine({ one, arm }: { one: Armed; arm: Arm }) {
  const armed = isArmed(one);
  return (
    <li class="watched-camera">
      <div class="watched-what">
        <strong>{one.camera}</strong>{" "}
        <Badge tone={armed ? "accent" : "plain"}>
          <Icon name={armed ? "armed" : "disarmed"} size={14} />
          {t(armed ? "watching.armed" : "watching.disarmed")}
        </Badge>
        <p class="muted small">
          {sinceText(one)}
          {!one.coming &&
            one.silent.length > 0 &&
            ` · ${tn("watching.silent", one.silent.length, { rules: one.silent.join(", ") })}`}
        </p>
      </div>
      {may("arm") && (
        <Button small onClick={() => void arm(one.camera, !armed)}>
          {t(armed ? "watching.disarm" : "watching.arm")}
          <span class="unseen"> {one.camera}</span>
        </Button>
      )}
    </li>
  );
}

/** Whether it is not as the file says. */
function isOther(rule: Rule): boolean {
  return !rule.enabled || !!rule.limit?.by_hand;
}

const nameOf = (rule: Rule) => t("watching.of", { camera: rule.camera, rule: rule.rule });

function Rules({ rules, ask }: { rules: readonly Rule[]; ask: Ask }) {
  // Those that are not as in the file come first, as it was when the view was opened: a line
  // that somebody works at does not move.
  const first = useRef(new Set(rules.filter(isOther).map(nameOf))).current;
  const isFirst = (rule: Rule) => first.has(nameOf(rule));
  const others = rules.filter(isOther).length;
  return (
    <details class="watched-rules" open={first.size > 0}>
      <summary>{others > 0 ? tn("watching.other", others) : t("watching.as_file")}</summary>
      <ul class="watched" aria-label={t("watching.rules")}>
        {[...rules.filter(isFirst), ...rules.filter((rule) => !isFirst(rule))].map((rule) => (
          <RuleLine key={nameOf(rule)} rule={rule} ask={ask} />
        ))}
      </ul>
    </details>
  );
}

function RuleLine({ rule, ask }: { rule: Rule; ask: Ask }) {
  const problem = useSignal<string | null>(null);
  const wish: Ask = async (...wanted) => (problem.value = await ask(...wanted));
  const { limit } = rule;
  const said = [
    ...(rule.off ? [`${t("watching.off")} ${handText(rule, rule.off)}; ${t("watching.counts")}`] : []),
    ...(limit?.by_hand
      ? [`${limitText(limit.more_than)} ${handText(rule, limit.by_hand)}; ${t("watching.file", { limit: amount(limit.file) })}`]
      : []),
  ];
  return (
    <li data-other={isOther(rule) ? "" : undefined}>
      <div class="watched-what">
        <strong>{rule.rule}</strong> <span class="muted small">{rule.camera}</span>
        {said.map((one) => (
          <p class="muted small" key={one}>
            {one}
          </p>
        ))}
        {problem.value && (
          <p class="field-problem" role="alert">
            {problem.value}
          </p>
        )}
      </div>
      {may("arm") && (
        <div class="watched-hands">
          {limit && <Limit rule={rule} limit={limit} ask={wish} />}
          <label class="watched-on">
            <input
              type="checkbox"
              checked={rule.enabled}
              onChange={(event) => {
                const box = event.currentTarget;
                // What is refused stays as it was.
                void wish(rule, { enabled: box.checked }).then((why) => {
                  if (why !== null) box.checked = rule.enabled;
                });
              }}
            />
            <span>{t("watching.tells")}</span>
            <span class="unseen">: {nameOf(rule)}</span>
          </label>
        </div>
      )}
    </li>
  );
}

function amount(limit: number | null): string {
  return limit === null ? t("watching.no_limit") : number(limit);
}

function limitText(limit: number | null): string {
  return `${t("watching.more_than")} ${amount(limit)}`;
}

function handText(rule: Rule, change: ByHand): string {
  const time = moment(change.since, timezone(rule.camera));
  return `${t("watching.since", { time })} ${byText(change.by)}`;
}

function Limit({ rule, limit, ask }: { rule: Rule; limit: NonNullable<Rule["limit"]>; ask: Ask }) {
  const id = useId();
  const draft = useSignal<string | null>(null);
  const now = limit.more_than === null ? "" : String(limit.more_than);
  const text = draft.value ?? now;
  const give = async (more_than: number | null) => {
    if ((await ask(rule, { more_than })) === null) draft.value = null;
  };
  return (
    <form
      class="watched-limit"
      onSubmit={(event) => {
        event.preventDefault();
        if (text !== now) void give(text === "" ? null : Number(text));
      }}
    >
      <label for={id}>
        {t("watching.more_than")}
        <span class="unseen">: {nameOf(rule)}</span>
      </label>
      <input
        id={id}
        type="number"
        inputMode="numeric"
        min={limit.least}
        max={limit.most}
        step={1}
        placeholder={limit.file === null ? "–" : String(limit.file)}
        title={t("watching.whole", { least: number(limit.least), most: number(limit.most) })}
        value={text}
        onInput={(event) => (draft.value = event.currentTarget.value)}
      />
      {text !== now && (
        <Button small kind="primary" type="submit">
          {t("watching.set")}
        </Button>
      )}
      {text === now && limit.by_hand && (
        <Button small kind="quiet" onClick={() => void give(null)}>
          {t("watching.back")}
          <span class="unseen">: {nameOf(rule)}</span>
        </Button>
      )}
    </form>
  );
}
