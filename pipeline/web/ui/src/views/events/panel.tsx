/** Everything about one happening, at the side of the list. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { address, get } from "../../api/client.ts";
import { percent, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { go } from "../../app/router.ts";
import { may, timezone } from "../../app/session.ts";
import { clockSeconds, date, duration, moment } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import { Button, ButtonLink } from "../../parts/button.tsx";
import { Checkbox } from "../../parts/field.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Whichever } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import { Share } from "../sharing/share.tsx";
import { Boxed } from "./boxed.tsx";
import { Delivery } from "./delivery.tsx";
import { type EventDetail, addressOf, neighbour, renewCard } from "./model.ts";
import { Player } from "./player.tsx";
import { sentenceOf } from "./sentence.ts";
import { Why } from "./why.tsx";
import { Wrong } from "./wrong.tsx";

const EVERY_MS = 5_000;

export function Panel({ id, onMark }: { id: string; onMark: (id: string, done: boolean) => Promise<void> }) {
  const isSettled = useSignal(false);
  const loaded = useLoaded<EventDetail>(
    (signal) => get<EventDetail>(`/events/${encodeURIComponent(id)}`, {}, { signal }),
    [id],
    isSettled.value ? undefined : EVERY_MS,
  );
  const detail = loaded.value.value;
  const shown = detail?.event.id === id ? detail : null;
  useEffect(() => {
    if (!shown) return;
    renewCard(shown.event);
    const isCut = !shown.clip || !["wanted", "held"].includes(shown.clip.state);
    isSettled.value = shown.event.ended_at !== null && isCut && shown.event.sending.waiting === 0;
  }, [shown]);
  const before = neighbour(id, -1);
  const after = neighbour(id, 1);
  return (
    <Dialog
      side
      title={shown ? sentenceOf(shown.event) : t("events.title")}
      onClose={() => go(addressOf(null))}
      actions={
        <>
          <Button disabled={!before} icon="up" onClick={() => before && go(addressOf(before.id), { replace: true })}>
            {t("events.panel.previous")}
          </Button>
          <Button disabled={!after} icon="down" onClick={() => after && go(addressOf(after.id), { replace: true })}>
            {t("events.panel.next")}
          </Button>
        </>
      }
    >
      {shown ? (
        <Body key={id} detail={shown} again={loaded.again} onMark={onMark} />
      ) : (
        <Whichever of={{ ...loaded, value: useSignalNull() }}>{() => null}</Whichever>
      )}
    </Dialog>
  );
}

/** What another happening said is not shown for this one. */
function useSignalNull() {
  return useSignal<EventDetail | null>(null);
}

function Body({
  detail,
  again,
  onMark,
}: {
  detail: EventDetail;
  again: () => void;
  onMark: (id: string, done: boolean) => Promise<void>;
}) {
  const one = detail.event;
  const zone = timezone(one.camera);
  const isReviewed = one.reviewed_at !== null;
  return (
    <>
      <p class="event-about">
        <span>{date(one.began_at, zone)}</span>
        <span class="event-time">{clockSeconds(one.began_at, zone)}</span>
        {one.camera && <span>{one.camera}</span>}
        <span>{one.rule}</span>
        {one.ended_at === null && <Badge tone="accent">{t("events.ongoing")}</Badge>}
      </p>
      {may("media") && <Pictures detail={detail} />}
      {may("media") && one.has_clip && (
        <Part title={t("events.panel.clip")}>
          <Player detail={detail} />
        </Part>
      )}
      <div class="row">
        {may("review") && (
          <Button
            kind={isReviewed ? "plain" : "primary"}
            icon="check"
            aria-pressed={isReviewed}
            onClick={() => void onMark(one.id, !isReviewed).then(again)}
          >
            {isReviewed ? t("events.review.done") : t("events.review.mark")}
          </Button>
        )}
        <Button icon="link" onClick={() => void copyLink(one.id)}>
          {t("events.panel.copy")}
        </Button>
        <Share
          of={{
            id: one.id,
            camera: one.camera,
            pictures: one.pictures,
            parts: detail.clip?.parts ?? 0,
          }}
        />
        {may("media") && one.pictures > 0 && (
          <ButtonLink icon="download" href={address(`/events/${one.id}/picture`, { download: true })} download>
            {t("events.panel.download_picture")}
          </ButtonLink>
        )}
      </div>
      <Why detail={detail} />
      <Delivery detail={detail} again={again} />
      <Wrong detail={detail} again={again} />
      <details class="event-all">
        <summary>{t("events.details")}</summary>
        <dl class="facts">
          <Fact name={t("events.began")}>{moment(one.began_at, zone)}</Fact>
          {one.ended_at !== null && <Fact name={t("events.ended")}>{moment(one.ended_at, zone)}</Fact>}
          {one.seconds !== null && <Fact name={t("events.lasted")}>{duration(one.seconds)}</Fact>}
          {one.track !== null && <Fact name={t("events.track")}>{one.track}</Fact>}
          {one.probability !== null && (
            <Fact name={t("events.measure.probability")}>{percent(one.probability)}</Fact>
          )}
          {Object.entries(one.data)
            .filter(([, value]) => typeof value !== "object")
            .map(([name, value]) => (
              <Fact key={name} name={name}>
                {String(value)}
              </Fact>
            ))}
        </dl>
      </details>
    </>
  );
}

export function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="event-part">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Pictures({ detail }: { detail: EventDetail }) {
  const nth = useSignal(1);
  const hasBox = useSignal(true);
  const hasPath = useSignal(false);
  const hasFailed = useSignal(false);
  const one = detail.event;
  if (!one.pictures) return null;
  const phases = detail.phases.filter((phase) => phase.has_picture);
  const path = detail.path.map(({ box }) => [((box[0] ?? 0) + (box[2] ?? 0)) / 2, box[3] ?? 0] as const);
  return (
    <figure class="event-figure">
      {hasFailed.value ? (
        <p role="alert">{t("events.panel.picture_failed")}</p>
      ) : (
        <Boxed
          src={address(`/events/${one.id}/picture`, { nth: nth.value })}
          alt={t("events.panel.picture_of", { name: sentenceOf(one) })}
          box={hasBox.value && nth.value === 1 ? one.box : null}
          path={hasPath.value ? path : undefined}
          onError={() => {
            hasFailed.value = true;
          }}
        />
      )}
      <figcaption class="row">
        {one.box && (
          <Checkbox
            label={t("events.panel.box")}
            checked={hasBox.value}
            onChecked={(checked) => {
              hasBox.value = checked;
            }}
          />
        )}
        {path.length > 1 && (
          <Checkbox
            label={t("events.panel.path")}
            checked={hasPath.value}
            onChecked={(checked) => {
              hasPath.value = checked;
            }}
          />
        )}
        {one.pictures > 1 &&
          phases.map((phase, index) => (
            <Button
              key={phase.id}
              small
              aria-pressed={nth.value === index + 1}
              onClick={() => {
                hasFailed.value = false;
                nth.value = index + 1;
              }}
            >
              {t(`events.panel.phase.${phase.phase}`)}
            </Button>
          ))}
      </figcaption>
    </figure>
  );
}

async function copyLink(id: string): Promise<void> {
  const link = `${location.origin}/events?show=all&event=${encodeURIComponent(id)}`;
  try {
    await navigator.clipboard.writeText(link);
    toast({ text: t("events.panel.copied"), tone: "good" });
  } catch {
    // Without https there is no clipboard: it can be copied from here.
    toast({ text: link });
  }
}
