/** One happening in the list, with a preview that moves while somebody points at it. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { address } from "../../api/client.ts";
import { t } from "../../app/language.ts";
import { may, timezone } from "../../app/session.ts";
import { clockSeconds, duration } from "../../app/times.ts";
import { Badge, type Tone } from "../../parts/badge.tsx";
import { IconButton } from "../../parts/button.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Boxed } from "./boxed.tsx";
import { type EventCard, addressOf } from "./model.ts";
import { sentenceOf } from "./sentence.ts";

const TONES: Record<EventCard["verdict"], Tone> = {
  confirmed: "good",
  rejected: "bad",
  not_checked: "plain",
};
/** Preview starts after a moment, so that a pointer that passes by loads nothing. */
const SOON_MS = 250;

export function Card({ one, onMark }: { one: EventCard; onMark: (one: EventCard) => void }) {
  const isPlaying = useSignal(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const begin = () => {
    if (!one.has_clip || !may("media")) return;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      isPlaying.value = true;
    }, SOON_MS);
  };
  const end = () => {
    clearTimeout(timer.current);
    isPlaying.value = false;
  };
  const isReviewed = one.reviewed_at !== null;
  const name = sentenceOf(one);
  // Where there is nothing to see, the words are all of the card.
  const isSeen = may("media") && (one.pictures > 0 || one.has_clip);
  return (
    <li
      class="event"
      data-reviewed={isReviewed ? "" : undefined}
      data-words={isSeen ? undefined : ""}
      data-id={one.id}
      onMouseEnter={begin}
      onMouseLeave={end}
      onFocusIn={begin}
      onFocusOut={end}
    >
      {isSeen && (
        <div class="event-picture">
          {one.pictures > 0 ? (
            <Boxed
              src={address(`/events/${one.id}/picture`, { width: 320 })}
              alt=""
              box={one.box}
              lazy
            />
          ) : (
            <span class="event-blank">
              <Icon name="play" size={28} />
            </span>
          )}
          {isPlaying.value && (
            <video
              class="event-preview"
              src={address(`/events/${one.id}/clip`)}
              muted
              autoplay
              loop
              playsInline
              aria-hidden="true"
              tabIndex={-1}
              onError={end}
            />
          )}
          {one.has_clip && (
            <span class="event-clip">
              <Icon name="play" size={14} />
              <span class="unseen">{t("events.has_clip")}</span>
            </span>
          )}
        </div>
      )}
      <div class="event-words">
        <a class="event-link" href={addressOf(one.id)} data-event={one.id}>
          {name}
        </a>
        <p class="event-about">
          <span class="event-time">{clockSeconds(one.began_at, timezone(one.camera))}</span>
          {one.camera && <span>{one.camera}</span>}
          <span>{one.rule}</span>
          {one.seconds !== null && one.ended_at !== null && <span>{duration(one.seconds)}</span>}
        </p>
        <p class="event-badges">
          {one.ended_at === null && <Badge tone="accent">{t("events.ongoing")}</Badge>}
          {one.second_look && (
            <Badge tone={TONES[one.verdict]}>{t(`events.verdict.${one.verdict}`)}</Badge>
          )}
          {one.sending.refused > 0 && <Badge tone="bad">{t("events.sent.refused")}</Badge>}
          {one.sending.waiting > 0 && <Badge tone="warning">{t("events.sent.waiting")}</Badge>}
          {one.wrong.length > 0 && <Badge tone="warning">{t("events.has_wrong")}</Badge>}
        </p>
      </div>
      {may("review") && (
        <div class="event-mark" data-done={isReviewed ? "" : undefined}>
          <IconButton
            icon="check"
            aria-pressed={isReviewed}
            label={`${t("events.review.done")}: ${name}`}
            onClick={() => onMark(one)}
          />
        </div>
      )}
    </li>
  );
}
