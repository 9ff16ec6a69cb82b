import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, get, post, put } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, number, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import {
  forgetThisBrowser,
  obstacle,
  type OwnDevice,
  type PushChoice,
  type PushInfo,
  removeDevice,
  switchOn,
  thisDevice,
} from "../../app/push.ts";
import { deviceName, hourOf, minuteOf } from "../../app/push_keys.ts";
import { may, site, timezone } from "../../app/session.ts";
import { moment } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Checkbox, Choice, SelectField, TextField } from "../../parts/field.tsx";
import { Card } from "../../parts/page.tsx";
import { Said } from "../../parts/said.tsx";
import { sentenceOf, Whichever } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import { texts } from "./texts.ts";
import "./notifications.css";

addTexts(texts);

type TrialResult = components["schemas"]["TrialResult"];
type Rule = components["schemas"]["ChosenRule"];

const PAUSES = [0, 60, 300, 900, 3600];
const NIGHT = { since: 22 * 60, until: 6 * 60 };
/** What trouble of a camera itself is called among its rules. */
const TROUBLE = "camera";

/** Whether and how one is told of events while no page is open. */
export function Push() {
  if (!may("account")) return null;
  return <OwnPush />;
}

function OwnPush() {
  const info = useLoaded((signal) => get<PushInfo>("/push", {}, { signal }));
  const here = useSignal<string | null>(null);
  const look = async () => {
    here.value = await thisDevice().catch(() => null);
  };
  useEffect(() => {
    void look();
  }, []);
  const changed = () => {
    void look();
    info.again();
  };
  return (
    <Card title={t("push.title")}>
      <Whichever of={info}>
        {(found) =>
          found.state === "on" ? (
            <div class="stack">
              <ThisBrowser info={found} here={here.value} onChanged={changed} />
              <Devices devices={found.devices} here={here.value} onChanged={changed} />
              <What choice={found.choice} />
            </div>
          ) : (
            <p class="muted">
              <Said text={(found.state === "off" ? t("push.off") : found.why) ?? ""} />
            </p>
          )
        }
      </Whichever>
    </Card>
  );
}

function ThisBrowser({
  info,
  here,
  onChanged,
}: {
  info: PushInfo;
  here: string | null;
  onChanged: () => void;
}) {
  const isBusy = useSignal(false);
  const said = useSignal("");
  const against = obstacle();
  const device = info.devices.find((one) => one.id === here) ?? null;
  const act = async (what: () => Promise<string>) => {
    isBusy.value = true;
    said.value = "";
    try {
      said.value = await what();
    } catch (error) {
      const isOurs = error instanceof ApiError;
      const why = error instanceof Error ? error.message : String(error);
      said.value = isOurs ? sentenceOf(error) : t("push.failed", { why });
    }
    isBusy.value = false;
    onChanged();
  };
  const on = async () => {
    const made = await switchOn(info.public_key ?? "", site.value?.visitor ?? "");
    return t(made ? "push.switched_on" : "push.no_permission");
  };
  const off = async (known: OwnDevice) => {
    await forgetThisBrowser();
    await removeDevice(known.id);
    return "";
  };
  const tryOut = async (known: OwnDevice) => {
    const result = await post<TrialResult>(`/push/devices/${encodeURIComponent(known.id)}/trial`);
    return result.is_sent ? t("push.trial_sent") : result.why;
  };
  return (
    <div class="push-part">
      <p class="muted small">{t("push.about")}</p>
      {against !== null ? (
        <p>{t(`push.obstacle.${against}`)}</p>
      ) : (
        <div class="push-acts">
          <Badge tone={device ? "good" : "plain"}>{t(device ? "push.on_here" : "push.off_here")}</Badge>
          {device ? (
            <>
              <Button disabled={isBusy.value} onClick={() => void act(() => tryOut(device))}>
                {t("push.trial")}
              </Button>
              <Button disabled={isBusy.value} onClick={() => void act(() => off(device))}>
                {t("push.switch_off")}
              </Button>
            </>
          ) : (
            <Button kind="primary" disabled={isBusy.value} onClick={() => void act(on)}>
              {t("push.switch_on")}
            </Button>
          )}
        </div>
      )}
      <p role="status" class="push-said">
        {said.value}
      </p>
    </div>
  );
}

function Devices({
  devices,
  here,
  onChanged,
}: {
  devices: readonly OwnDevice[];
  here: string | null;
  onChanged: () => void;
}) {
  const remove = async (device: OwnDevice) => {
    try {
      if (device.id === here) await forgetThisBrowser();
      await removeDevice(device.id);
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
    onChanged();
  };
  return (
    <section class="push-part">
      <h3>{t("push.devices")}</h3>
      {devices.length === 0 ? (
        <p class="muted">{t("push.devices.none")}</p>
      ) : (
        <ul class="push-devices">
          {devices.map((one) => {
            const name = deviceName(one.agent) || t("push.device.unknown");
            return (
              <li key={one.id}>
                <div>
                  <b>{name}</b>{" "}
                  {one.id === here && <Badge tone="accent">{t("push.device.this")}</Badge>}
                  <p class="muted small">{factsOf(one)}</p>
                  {one.trouble && <p class="small">{one.trouble}</p>}
                </div>
                <Button
                  small
                  aria-label={t("push.device.remove_which", { name })}
                  onClick={() => void remove(one)}
                >
                  {t("push.device.remove")}
                </Button>
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}

function factsOf(one: OwnDevice): string {
  const when = (at: number) => moment(at, timezone());
  const facts = [t("push.device.seen", { time: when(one.seen_at) })];
  if (one.told_at !== null) facts.push(t("push.device.told", { time: when(one.told_at) }));
  facts.push(
    one.until === null
      ? t("push.device.session")
      : t("push.device.until", { time: when(one.until) }),
  );
  return facts.join("; ");
}

function What({ choice }: { choice: PushChoice }) {
  const cameras = useSignal(choice.cameras ?? null);
  const rules = useSignal(choice.rules ?? null);
  const ends = useSignal(choice.ends ?? false);
  const isQuiet = useSignal(choice.quiet != null);
  const since = useSignal(hourOf(choice.quiet?.since ?? NIGHT.since));
  const until = useSignal(hourOf(choice.quiet?.until ?? NIGHT.until));
  const pause = useSignal(String(choice.pause_s ?? 300));
  const problem = useSignal("");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const known = site.value?.cameras ?? [];
  const names = known.map((one) => one.name);
  const every: Rule[] = known
    .filter((one) => cameras.value === null || cameras.value.includes(one.name))
    .flatMap((one) => [...Object.keys(one.rules), TROUBLE].map((rule) => ({ camera: one.name, rule })));
  const pauses = PAUSES.includes(Number(pause.value)) ? PAUSES : [...PAUSES, Number(pause.value)];
  const save = async () => {
    const from = minuteOf(since.value);
    const to = minuteOf(until.value);
    problem.value = "";
    if (isQuiet.value && (from === null || to === null)) {
      problem.value = t("push.quiet.wrong");
      return;
    }
    const quiet = isQuiet.value && from !== null && to !== null ? { since: from, until: to } : null;
    const wanted: PushChoice = {
      cameras: cameras.value,
      rules: rules.value,
      ends: ends.value,
      quiet,
      timezone: zone,
      pause_s: Number(pause.value),
    };
    try {
      await put("/push/choice", wanted);
      toast({ text: t("push.saved"), tone: "good" });
    } catch (error) {
      problem.value = sentenceOf(error);
    }
  };
  return (
    <form
      class="push-part"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <h3>{t("push.choice")}</h3>
      <p class="muted small">{t("push.choice.about")}</p>
      <AllOrSome
        kind="cameras"
        isAll={cameras.value === null}
        onAll={(isAll) => {
          cameras.value = isAll ? null : [];
        }}
        options={names.map((name) => ({ key: name, label: name, isOn: cameras.value?.includes(name) ?? false }))}
        onOption={(name, isOn) => {
          const others = (cameras.value ?? []).filter((one) => one !== name);
          cameras.value = isOn ? [...others, name] : others;
        }}
      />
      <AllOrSome
        kind="rules"
        isAll={rules.value === null}
        onAll={(isAll) => {
          rules.value = isAll ? null : [];
        }}
        options={every.map((one) => ({
          key: keyOf(one),
          label: t(one.rule === TROUBLE ? "push.rule.camera" : "push.rule.named", {
            camera: one.camera,
            rule: one.rule,
          }),
          isOn: rules.value?.some((other) => keyOf(other) === keyOf(one)) ?? false,
        }))}
        onOption={(key, isOn) => {
          const others = (rules.value ?? []).filter((one) => keyOf(one) !== key);
          rules.value = isOn ? [...others, ...every.filter((one) => keyOf(one) === key)] : others;
        }}
      />
      <Checkbox
        label={t("push.ends")}
        hint={t("push.ends.hint")}
        checked={ends.value}
        onChecked={(isOn) => {
          ends.value = isOn;
        }}
      />
      <Checkbox
        label={t("push.quiet")}
        hint={t("push.quiet.hint", { zone })}
        checked={isQuiet.value}
        onChecked={(isOn) => {
          isQuiet.value = isOn;
        }}
      />
      {isQuiet.value && (
        <div class="push-hours">
          <TextField
            label={t("push.quiet.since")}
            type="time"
            value={since.value}
            onValue={(value) => {
              since.value = value;
            }}
          />
          <TextField
            label={t("push.quiet.until")}
            type="time"
            value={until.value}
            onValue={(value) => {
              until.value = value;
            }}
          />
        </div>
      )}
      <SelectField
        label={t("push.pause")}
        value={pause.value}
        options={pauses.map((seconds) => ({
          value: String(seconds),
          label: PAUSES.includes(seconds)
            ? t(`push.pause.${seconds}`)
            : t("push.pause.other", { n: number(seconds) }),
        }))}
        onValue={(value) => {
          pause.value = value;
        }}
      />
      {problem.value && <p role="alert">{problem.value}</p>}
      <div>
        <Button type="submit">{t("push.save")}</Button>
      </div>
    </form>
  );
}

function keyOf(rule: Rule): string {
  return JSON.stringify([rule.camera, rule.rule]);
}

interface Selectable {
  key: string;
  label: string;
  isOn: boolean;
}

function AllOrSome({
  kind,
  isAll,
  onAll,
  options,
  onOption,
}: {
  kind: "cameras" | "rules";
  isAll: boolean;
  onAll: (isAll: boolean) => void;
  options: readonly Selectable[];
  onOption: (key: string, isOn: boolean) => void;
}) {
  return (
    <>
      <Choice
        label={t(`push.${kind}`)}
        value={isAll ? "all" : "some"}
        options={(["all", "some"] as const).map((value) => ({ value, label: t(`push.${kind}.${value}`) }))}
        onValue={(value) => onAll(value === "all")}
      />
      {!isAll && (
        <div class="push-options" role="group" aria-label={t(`push.${kind}`)}>
          {options.map((one) => (
            <Checkbox
              key={one.key}
              label={one.label}
              checked={one.isOn}
              onChecked={(isOn) => onOption(one.key, isOn)}
            />
          ))}
        </div>
      )}
    </>
  );
}
