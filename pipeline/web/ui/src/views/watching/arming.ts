/** Whether cameras are armed, in words; and what is asked of the server. */

import { get, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { type Loaded, useLoaded } from "../../app/loaded.ts";
import { timezone } from "../../app/session.ts";
import { clockSeconds, moment } from "../../app/times.ts";
import { sentenceOf } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";

export type Arming = components["schemas"]["ArmingAnswer"];
export type Armed = components["schemas"]["ArmedCamera"];

const EVERY_MS = 10_000;
/** After this long what was asked for holds. */
const HOLDS_MS = 2_300;
const BY_PLAN = "the plan";

/** Arms or disarms a camera, or with null all of them. */
export type Arm = (camera: string | null, armed: boolean) => Promise<void>;

export function useArming(): { loaded: Loaded<Arming>; arm: Arm } {
  const loaded = useLoaded<Arming>((signal) => get("/arming", {}, { signal }), [], EVERY_MS);
  const arm: Arm = async (camera, armed) => {
    try {
      loaded.value.value = await post<Arming>("/arming", { camera, armed });
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
      return;
    }
    const what = camera ?? t("watching.all");
    toast({ text: t(armed ? "watching.will_arm" : "watching.will_disarm", { what }), tone: "good" });
    setTimeout(loaded.again, HOLDS_MS);
  };
  return { loaded, arm };
}

/** Whether it is armed by the last word on it, which may hold only in a moment. */
export function isArmed(one: Armed): boolean {
  return one.coming?.is_armed ?? one.is_armed;
}

export function byText(who: string): string {
  return who === BY_PLAN ? t("watching.by_plan") : t("watching.by", { who });
}

/** Such as: since Fri, 27 Nov, 20:00 by the plan. */
export function sinceText(one: Armed): string {
  const zone = timezone(one.camera);
  if (one.coming) {
    const from = t("watching.from", { time: clockSeconds(one.coming.at, zone) });
    return `${from} ${byText(one.coming.by)}`;
  }
  const since = one.since === null ? [] : [t("watching.since", { time: moment(one.since, zone) })];
  return [...since, ...(one.by ? [byText(one.by)] : [])].join(" ");
}
