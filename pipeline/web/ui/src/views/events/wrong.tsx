/** What was wrong: a line for the measuring of the rule. */

import { useSignal } from "@preact/signals";
import { del, post } from "../../api/client.ts";
import { t } from "../../app/language.ts";
import { may } from "../../app/session.ts";
import { Button } from "../../parts/button.tsx";
import { Choice, TextField } from "../../parts/field.tsx";
import { sentenceOf as failureOf } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import type { EventDetail } from "./model.ts";
import { Part } from "./panel.tsx";

type Kind = "false" | "double" | "missed";

export function Wrong({ detail, again }: { detail: EventDetail; again: () => void }) {
  const kind = useSignal<Kind | null>(null);
  const way = useSignal<"in" | "out">("in");
  const remark = useSignal("");
  const { event } = detail;
  if (!may("review") && !detail.remarks.length) return null;
  const save = async () => {
    const about =
      kind.value === "missed"
        ? {
            camera: event.camera,
            rule: event.rule,
            at: event.began_at,
            direction: event.line ? way.value : "",
          }
        : { event: event.id };
    try {
      await post("/remarks", { kind: kind.value, remark: remark.value, ...about });
      toast({ text: t("events.wrong.saved"), tone: "good" });
      kind.value = null;
      remark.value = "";
      again();
    } catch (error) {
      toast({ text: failureOf(error), tone: "bad" });
    }
  };
  const withdraw = async (id: number) => {
    try {
      await del(`/remarks/${id}`);
      again();
    } catch (error) {
      toast({ text: failureOf(error), tone: "bad" });
    }
  };
  return (
    <Part title={t("events.wrong")}>
      <ul class="remarks">
        {detail.remarks.map((one) => (
          <li key={one.id}>
            <span>
              {t("events.wrong.by", { by: one.by, what: t(`events.wrong.said.${one.kind}`) })}
              {one.remark && <span class="muted"> – {one.remark}</span>}
            </span>
            {may("review") && (
              <Button small kind="quiet" onClick={() => void withdraw(one.id)}>
                {t("events.wrong.withdraw")}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {may("review") && (
        <>
          <div class="row">
            {(["false", "double", ...(detail.why.is_known ? ["missed"] : [])] as Kind[]).map((one) => (
              <Button
                key={one}
                small
                aria-pressed={kind.value === one}
                onClick={() => {
                  kind.value = kind.value === one ? null : one;
                }}
              >
                {t(`events.wrong.${one}`)}
              </Button>
            ))}
          </div>
          {kind.value !== null && (
            <form
              class="stack"
              onSubmit={(submitted) => {
                submitted.preventDefault();
                void save();
              }}
            >
              {kind.value === "missed" && event.line && (
                <Choice
                  label={t("events.wrong.direction")}
                  value={way.value}
                  options={(["in", "out"] as const).map((value) => ({
                    value,
                    label: t(`events.way.${value}`),
                  }))}
                  onValue={(value) => {
                    way.value = value;
                  }}
                />
              )}
              <TextField
                label={t("events.wrong.remark")}
                value={remark.value}
                maxLength={1000}
                onValue={(value) => {
                  remark.value = value;
                }}
              />
              <div>
                <Button kind="primary" type="submit">
                  {t("events.wrong.save")}
                </Button>
              </div>
            </form>
          )}
        </>
      )}
    </Part>
  );
}
