/** One camera on the wall: its picture, what was made of it, and how old it is. */

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { components } from "../../api/schema.d.ts";
import { number, percent, t, tn } from "../../app/language.ts";
import { duration } from "../../app/times.ts";
import { Icon } from "../../parts/icon.tsx";
import { ageOf } from "./layout.ts";
import { paint } from "./paint.ts";
import type { CameraView, Wall } from "./wall.ts";

export type TileCamera = components["schemas"]["WallCameraInfo"];

export function Tile({
  wall,
  camera,
  hasShapes,
  number: ordinal,
  onOpen,
}: {
  wall: Wall;
  camera: TileCamera;
  hasShapes: boolean;
  /** The digit that chooses it. */
  number?: number;
  onOpen?: () => void;
}) {
  const view = wall.view(camera.name);
  const age = useAge(wall, camera, view);
  const known = view.frame.value?.known ?? null;
  return (
    <article
      class={`tile tile-${age.value?.kind ?? "none"}`}
      data-camera={camera.name}
      data-alarm={known?.alarms.length ? "yes" : undefined}
    >
      <Picture wall={wall} camera={camera} view={view} hasShapes={hasShapes} />
      {onOpen && (
        <button type="button" class="tile-open" onClick={onOpen} aria-label={t("live.open", { camera: camera.name })}>
          {ordinal !== undefined && <span class="tile-digit" aria-hidden="true">{ordinal}</span>}
        </button>
      )}
      <Caption wall={wall} camera={camera} view={view} />
    </article>
  );
}

function useAge(wall: Wall, camera: TileCamera, view: CameraView) {
  return useComputed(() => {
    const frame = view.frame.value;
    if (!frame) return null;
    const seconds = Math.max(0, wall.now.value - frame.capturedAt);
    // The times of a recording are those of long ago: its pictures have no age.
    const kind = camera.is_recording ? "fresh" : ageOf(seconds, camera.offline_after, camera.every);
    return { seconds, kind };
  });
}

export function Picture({
  wall,
  camera,
  view,
  hasShapes,
}: {
  wall: Wall;
  camera: TileCamera;
  view: CameraView;
  hasShapes: boolean;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSignal(0);
  const shows = useSignal(hasShapes);
  shows.value = hasShapes;
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    let isSeen = false;
    const fit = () => {
      const { clientWidth, clientHeight } = element;
      const ratio = Math.min(2, window.devicePixelRatio);
      const width = Math.round(clientWidth * ratio);
      const height = Math.round(clientHeight * ratio);
      if (element.width !== width || element.height !== height) {
        element.width = width;
        element.height = height;
        size.value = width * 10_000 + height;
      }
      wall.socket.shows(camera.name, isSeen ? clientWidth : 0);
    };
    // Only what can be seen is asked for.
    const seeing = new IntersectionObserver((entries) => {
      isSeen = entries.at(-1)?.isIntersecting ?? false;
      fit();
      if (isSeen) void view.kept();
    });
    const sizing = new ResizeObserver(fit);
    seeing.observe(element);
    sizing.observe(element);
    return () => {
      seeing.disconnect();
      sizing.disconnect();
      wall.socket.shows(camera.name, 0);
    };
  }, [camera.name]);
  useSignalEffect(() => {
    const frame = view.frame.value;
    void size.value;
    const shapes = shows.value ? camera : null;
    if (frame && canvas.current) paint(canvas.current, frame, { shapes, trails: view.trails });
  });
  const frame = view.frame.value;
  const known = frame?.known ?? null;
  const things = known?.boxes.filter((box) => box[1] !== null).length ?? 0;
  return (
    <div class="tile-picture">
      <canvas
        ref={canvas}
        role="img"
        aria-label={
          frame ? t("live.picture", { camera: camera.name }) : t("live.no_picture", { camera: camera.name })
        }
        data-seq={known?.seq}
        data-run={known?.run}
        data-things={known?.answered === true ? things : undefined}
      />
      {!frame && (
        <p class="tile-empty">{t(wall.trouble.value === null ? "live.waiting" : "live.none_here")}</p>
      )}
      {known && known.answered !== true && (
        <p class="tile-mark">
          {known.answered === "failed" ? t("live.no_answer") : t("live.not_looked")}
        </p>
      )}
      {frame && !known && <p class="tile-mark">{t("live.kept")}</p>}
      {known && known.alarms.length > 0 && (
        <p class="tile-alarm">
          <Icon name="warning" size={14} /> {known.alarms.join(", ")}
        </p>
      )}
      {known && Object.keys(known.said).length > 0 && (
        <dl class="tile-said">
          {Object.entries(known.said).map(([task, words]) => (
            <div key={task}>
              <dt>{task}</dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}

function Caption({ wall, camera, view }: { wall: Wall; camera: TileCamera; view: CameraView }) {
  const age = useAge(wall, camera, view).value;
  const facts = view.facts.value;
  const isUnwell = facts !== null && facts.state !== "well" && facts.state !== "unknown";
  const fresh = facts === null ? 0 : facts.events - (view.eventsBefore.value ?? facts.events);
  return (
    <div class="tile-caption">
      <h2 class="tile-name">{camera.name}</h2>
      {age && !camera.is_recording && (
        <span class={`tile-age tile-age-${age.kind}`}>
          <span class="unseen">{t("live.age")} </span>
          {age.seconds < 10 ? `${number(age.seconds, 1)} s` : duration(age.seconds)}
        </span>
      )}
      {facts?.fps !== undefined && (
        <span class={facts.slower ? "tile-fact tile-warning" : "tile-fact"}>
          {facts.slower
            ? t("live.fps_of", { fps: number(facts.fps, 1), asked: number(facts.slower, 1) })
            : t("live.fps", { fps: number(facts.fps, 1) })}
        </span>
      )}
      {facts?.lost !== undefined && facts.lost >= 0.005 && (
        <span class="tile-fact tile-warning">
          {t("live.lost", { share: percent(facts.lost) })}
          {facts.reason && ` (${t(`live.reason.${facts.reason}`)})`}
        </span>
      )}
      {fresh > 0 && (
        <a class="tile-fact" href={`/events?camera=${encodeURIComponent(camera.name)}`}>
          {tn("live.events", fresh)}
        </a>
      )}
      {isUnwell && (
        <span class="tile-trouble" role="status">
          <strong>{t(`live.state.${facts.state}`)}</strong>
          {facts.sentence && ` – ${facts.sentence}`}
        </span>
      )}
    </div>
  );
}
