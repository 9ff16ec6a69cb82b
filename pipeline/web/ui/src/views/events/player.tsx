/** The clip: five seconds back and on, single frames, speeds, and a file to keep. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { address } from "../../api/client.ts";
import { t } from "../../app/language.ts";
import { ButtonLink, IconButton } from "../../parts/button.tsx";
import { SelectField } from "../../parts/field.tsx";
import type { EventDetail } from "./model.ts";

const SPEEDS = ["0.25", "0.5", "1", "2", "4"] as const;
const FPS = 10;

export function Player({ detail }: { detail: EventDetail }) {
  const video = useRef<HTMLVideoElement>(null);
  const speed = useSignal<(typeof SPEEDS)[number]>("1");
  const part = useSignal(1);
  const isBroken = useSignal(false);
  const isRunning = useSignal(false);
  const clip = detail.clip;
  if (!clip) return null;
  if (!clip.parts) {
    const key = clip.state === "failed" ? "failed" : clip.state === "held" ? "held" : "wanted";
    return <p class="muted">{t(`events.clip.${key}`, { reason: clip.reason })}</p>;
  }
  const seek = (seconds: number) => {
    const element = video.current;
    if (!element) return;
    const end = Number.isFinite(element.duration) ? element.duration : Number.MAX_VALUE;
    element.currentTime = Math.max(0, Math.min(end, element.currentTime + seconds));
  };
  const step = (direction: 1 | -1) => {
    video.current?.pause();
    seek(direction / (clip.fps || FPS));
  };
  const source = address(`/events/${detail.event.id}/clip`, { part: part.value });
  return (
    <div class="player">
      <video
        ref={video}
        key={source}
        src={source}
        controls
        playsInline
        preload="metadata"
        aria-label={t("events.panel.clip")}
        onPlay={() => {
          isRunning.value = true;
        }}
        onPause={() => {
          isRunning.value = false;
        }}
        onLoadedMetadata={(event) => {
          event.currentTarget.playbackRate = Number(speed.value);
        }}
        onEnded={() => {
          if (part.value < clip.parts) part.value += 1;
        }}
        onError={() => {
          isBroken.value = true;
        }}
      />
      {isBroken.value && <p role="alert">{t("events.clip.broken")}</p>}
      <div class="player-controls">
        <button type="button" class="button button-plain" onClick={() => seek(-5)} title={t("events.clip.back")}>
          −5 s
        </button>
        <IconButton icon="left" label={t("events.clip.frame_back")} onClick={() => step(-1)} />
        <IconButton
          icon={isRunning.value ? "pause" : "play"}
          label={t(isRunning.value ? "events.clip.pause" : "events.clip.play")}
          onClick={() => {
            if (isRunning.value) video.current?.pause();
            else void video.current?.play().catch(() => {});
          }}
        />
        <IconButton icon="right" label={t("events.clip.frame_on")} onClick={() => step(1)} />
        <button type="button" class="button button-plain" onClick={() => seek(5)} title={t("events.clip.forward")}>
          +5 s
        </button>
        <div class="player-speed">
          <SelectField
            label={t("events.clip.speed")}
            value={speed.value}
            options={SPEEDS.map((value) => ({ value, label: `${value}×` }))}
            onValue={(value) => {
              speed.value = value;
              if (video.current) video.current.playbackRate = Number(value);
            }}
          />
        </div>
        <ButtonLink
          icon="download"
          href={address(`/events/${detail.event.id}/clip`, { part: part.value, download: true })}
          download
        >
          {t("events.clip.download")}
        </ButtonLink>
      </div>
      {clip.parts > 1 && (
        <p class="small muted">{t("events.clip.part", { n: part.value, of: clip.parts })}</p>
      )}
      {clip.state === "partial" && clip.reason && (
        <p class="small muted">{t("events.clip.partial", { reason: clip.reason })}</p>
      )}
    </div>
  );
}
