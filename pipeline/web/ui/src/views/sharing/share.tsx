/** The second, explicit step beside the ordinary link of an event: one that needs no sign-in. */

import { useSignal } from "@preact/signals";
import { ApiError, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, t, tn } from "../../app/language.ts";
import { may, site, timezone } from "../../app/session.ts";
import { moment } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { SelectField } from "../../parts/field.tsx";
import { sentenceOf } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import { texts } from "./texts.ts";
import "./sharing.css";

addTexts(texts);

type Made = components["schemas"]["MadeLink"];

interface Shareable {
  id: string;
  camera: string;
  /** How many pictures there are. */
  pictures: number;
  /** How many parts the clip has; 0 where it is not ready. */
  parts: number;
}

/** The button, where links can be made and there is something to show. */
export function Share({ of: one }: { of: Shareable }) {
  const isOpen = useSignal(false);
  const days = site.value?.share_days ?? null;
  if (!may("share") || days === null || one.pictures + one.parts === 0) return null;
  return (
    <>
      <Button
        icon="link"
        onClick={() => {
          isOpen.value = true;
        }}
      >
        {t("share.open")}
      </Button>
      {isOpen.value && (
        <ShareDialog
          of={one}
          most={days}
          onClose={() => {
            isOpen.value = false;
          }}
        />
      )}
    </>
  );
}

function choicesOf(one: Shareable) {
  const several = (count: number, kind: "clip" | "picture", alone: string, nth: string) =>
    Array.from({ length: count }, (_, number) => ({
      value: `${kind} ${number + 1}`,
      label: count === 1 ? t(alone) : t(nth, { n: number + 1 }),
    }));
  return [
    ...several(one.parts, "clip", "share.clip", "share.clip_part"),
    ...several(one.pictures, "picture", "share.picture", "share.picture_nth"),
  ];
}

function ShareDialog({
  of: one,
  most,
  onClose,
}: {
  of: Shareable;
  most: number;
  onClose: () => void;
}) {
  const choices = choicesOf(one);
  const what = useSignal(choices[0]?.value ?? "");
  const days = useSignal(String(Math.min(1, most)));
  const made = useSignal<Made | null>(null);
  const problem = useSignal<string | null>(null);
  const isBusy = useSignal(false);
  const make = async () => {
    const [kind, nth] = what.value.split(" ");
    isBusy.value = true;
    problem.value = null;
    try {
      made.value = await post<Made>("/shared-links", {
        event: one.id,
        kind,
        nth: Number(nth),
        days: Number(days.value),
      });
    } catch (error) {
      problem.value = error instanceof ApiError ? sentenceOf(error) : String(error);
    }
    isBusy.value = false;
  };
  if (made.value) return <MadeLink made={made.value} camera={one.camera} onClose={onClose} />;
  return (
    <Dialog title={t("share.title")} onClose={onClose}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void make();
        }}
      >
        <p>{t("share.text")}</p>
        <SelectField
          label={t("share.what")}
          value={what.value}
          options={choices}
          onValue={(value) => {
            what.value = value;
          }}
        />
        <SelectField
          label={t("share.days")}
          value={days.value}
          options={Array.from({ length: most }, (_, number) => ({
            value: String(number + 1),
            label: tn("share.days", number + 1),
          }))}
          onValue={(value) => {
            days.value = value;
          }}
        />
        {problem.value && (
          <p class="field-problem" role="alert">
            {problem.value}
          </p>
        )}
        <div class="dialog-actions">
          <Button onClick={onClose}>{t("part.cancel")}</Button>
          <Button type="submit" kind="primary" disabled={isBusy.value}>
            {t("share.make")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function MadeLink({ made, camera, onClose }: { made: Made; camera: string; onClose: () => void }) {
  const link = location.origin + made.path;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      toast({ text: t("share.copied"), tone: "good" });
    } catch {
      // Without https there is no clipboard: it can be marked by hand.
      toast({ text: t("share.not_copied"), tone: "bad" });
    }
  };
  return (
    <Dialog
      title={t("share.made")}
      onClose={onClose}
      actions={
        <>
          <Button icon="copy" onClick={() => void copy()}>
            {t("share.copy")}
          </Button>
          <Button kind="primary" onClick={onClose}>
            {t("part.close")}
          </Button>
        </>
      }
    >
      <p>{t("share.made_text", { until: moment(made.link.until, timezone(camera)) })}</p>
      <p>
        <code class="share-link">{link}</code>
      </p>
    </Dialog>
  );
}
