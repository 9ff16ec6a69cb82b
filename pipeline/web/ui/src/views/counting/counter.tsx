/** One clip after the other, counted by two keys or two large buttons. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { post, put } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { useKeys } from "../../app/keys.ts";
import { t } from "../../app/language.ts";
import { Button } from "../../parts/button.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Choice } from "../../parts/field.tsx";
import { Card } from "../../parts/page.tsx";
import { Failed, Loading, sentenceOf } from "../../parts/states.tsx";
import { useClip } from "./clip.ts";
import {
  countOf,
  type Direction,
  type Half,
  keepHalf,
  type Mark,
  nextOpen,
  readHalf,
  tallyOf,
  withMark,
  withoutLast,
} from "./marks.ts";

type OpenCount = components["schemas"]["OpenCount"];
type DoneCount = components["schemas"]["DoneCount"];
type Speed = "0.5" | "1" | "2" | "4";

const SPEEDS: readonly Speed[] = ["0.5", "1", "2", "4"];
const KEPT_EVERY_S = 1;
const DEADLINE_MS = 60_000;

export function Counter({
  count,
  onDone,
  onLeave,
}: {
  count: OpenCount;
  onDone: (done: DoneCount) => void;
  onLeave: () => void;
}) {
  const half = useRef<Half | null | undefined>(undefined);
  if (half.current === undefined) half.current = readHalf(count.id);
  const begun = half.current;
  const begunAt = count.clips.findIndex((one) => one.name === begun?.clip);
  const judged = useSignal(count.clips.map((clip) => clip.is_judged));
  const at = useSignal<number | null>(begunAt >= 0 ? begunAt : nextOpen(count.clips));
  const marks = useSignal<readonly Mark[]>(begunAt >= 0 && begun ? begun.marks : []);
  const problem = useSignal<string | null>(null);
  const isBusy = useSignal(false);
  const isPaused = useSignal(true);
  const isOver = useSignal(false);
  const isEnding = useSignal(false);
  const speed = useSignal<Speed>("1");
  const video = useRef<HTMLVideoElement>(null);
  const lastKept = useRef(0);
  const head = useRef<HTMLHeadingElement>(null);
  const clip = at.value === null ? null : (count.clips[at.value] ?? null);
  const following = at.value === null ? undefined : count.clips[at.value + 1]?.name;
  const { clip: shown, again } = useClip(count.id, clip?.name, following);
  const isThere = shown.state === "there";
  const isPlayed = isThere && !shown.isPicture;
  const done = judged.value.filter(Boolean).length;
  const place = () => video.current?.currentTime ?? 0;

  const keep = () => {
    // A player that goes away says that it pauses: then another clip is shown already.
    if (!clip || at.value === null || count.clips[at.value] !== clip) return;
    lastKept.current = place();
    keepHalf(count.id, { clip: clip.name, marks: marks.value, at: lastKept.current });
  };
  const show = (next: number | null) => {
    half.current = null;
    at.value = next;
    marks.value = [];
    isOver.value = false;
    problem.value = null;
    keepHalf(count.id, null);
    head.current?.focus();
  };
  const add = (direction: Direction) => {
    if (!clip || !isThere) return;
    marks.value = withMark(marks.value, { direction, at: place() });
    keep();
  };
  const undo = () => {
    marks.value = withoutLast(marks.value);
    keep();
  };
  const say = async (told: readonly Mark[] | null) => {
    if (!clip || at.value === null || isBusy.value) return;
    const said = at.value;
    isBusy.value = true;
    try {
      await put(
        `/audits/${encodeURIComponent(count.id)}/clips/${encodeURIComponent(clip.name)}`,
        tallyOf(told, count.has_directions),
      );
    } catch (error) {
      problem.value = sentenceOf(error);
      return;
    } finally {
      isBusy.value = false;
    }
    judged.value = judged.value.map((one, number) => one || number === said);
    show(nextOpen(judged.value.map((is_judged) => ({ is_judged })), said + 1));
  };
  const next = () => {
    // What was never seen is not "none".
    if (isThere) void say(marks.value);
    else if (shown.state === "missing") void say(null);
  };
  const pause = () => {
    const player = video.current;
    if (!player) return;
    if (player.paused) void player.play().catch(() => {});
    else player.pause();
  };
  const anew = () => {
    marks.value = [];
    isOver.value = false;
    keepHalf(count.id, null);
    const player = video.current;
    if (!player) return;
    player.currentTime = 0;
    void player.play().catch(() => {});
  };
  const turn = (value: Speed) => {
    speed.value = value;
    if (video.current) video.current.playbackRate = Number(value);
  };
  const faster = () => turn(SPEEDS[(SPEEDS.indexOf(speed.value) + 1) % SPEEDS.length] ?? "1");
  const close = async () => {
    isEnding.value = false;
    isBusy.value = true;
    try {
      const found = await post<DoneCount>(
        `/audits/${encodeURIComponent(count.id)}/close`,
        {},
        { deadlineMs: DEADLINE_MS },
      );
      keepHalf(count.id, null);
      onDone(found);
    } catch (error) {
      problem.value = sentenceOf(error);
      isBusy.value = false;
    }
  };
  useKeys(t("count.title"), [
    ...(count.has_directions
      ? [
          { keys: ["i"], label: t("count.keys.in"), act: () => add("in") },
          { keys: ["o"], label: t("count.keys.out"), act: () => add("out") },
        ]
      : [{ keys: ["c"], label: t("count.one"), act: () => add("one") }]),
    { keys: ["Backspace"], label: t("count.undo"), act: undo },
    { keys: ["p"], label: `${t("count.pause")} / ${t("count.play")}`, act: pause },
    { keys: ["s"], label: t("count.speed"), act: faster },
    { keys: ["n"], label: t("count.next"), act: next },
    { keys: ["u"], label: t("count.unclear"), act: () => void say(null) },
  ]);
  const question = count.has_directions
    ? t("count.question.line", { what: count.what })
    : t("count.question.other", { rule: count.rule });
  const terms = t("count.terms", {
    type: count.type,
    what: count.what,
    terms: count.terms.join(", "),
  }).replaceAll("_", " ");
  const number = { n: (at.value ?? 0) + 1, of: count.clips.length };
  const tally = count.has_directions
    ? t("count.tally.line", { in: countOf(marks.value, "in"), out: countOf(marks.value, "out") })
    : t("count.tally.one", { n: countOf(marks.value, "one") });
  return (
    <Card
      actions={
        <>
          <Button small onClick={onLeave}>
            {t("count.later")}
          </Button>
          <Button
            small
            disabled={done === 0 || isBusy.value}
            onClick={() => {
              if (at.value === null) void close();
              else isEnding.value = true;
            }}
          >
            {t("count.finish_early")}
          </Button>
        </>
      }
    >
      <p>
        <strong>
          {count.camera}/{count.rule}
        </strong>{" "}
        {question} {!count.has_directions && <span class="muted">({terms})</span>}
      </p>
      <h2 class="count-place" ref={head} tabIndex={-1}>
        {clip ? t("count.clip", number) : t("count.all_done")}
      </h2>
      <progress class="count-progress" max={count.clips.length} value={done} aria-hidden="true" />
      {clip ? (
        <>
          <div class="count-stage">
            {shown.state === "loading" && <Loading text={t("count.cutting")} />}
            {shown.state === "failed" && <Failed error={shown.error} again={again} />}
            {shown.state === "missing" && (
              <p class="count-missing" role="status">
                {t("count.missing")}
              </p>
            )}
            {shown.state === "there" && shown.isPicture && (
              <img src={shown.url} alt={t("count.clip_shown", number)} />
            )}
            {shown.state === "there" && !shown.isPicture && (
              <video
                key={clip.name}
                ref={video}
                src={shown.url}
                muted
                playsInline
                autoplay
                preload="auto"
                aria-label={t("count.clip_shown", number)}
                onLoadedMetadata={(event) => {
                  const player = event.currentTarget;
                  player.playbackRate = Number(speed.value);
                  if (half.current?.clip === clip.name) player.currentTime = half.current.at;
                }}
                onPlay={() => {
                  isPaused.value = false;
                  isOver.value = false;
                }}
                onPause={() => {
                  isPaused.value = true;
                  keep();
                }}
                onEnded={() => {
                  isOver.value = true;
                  keep();
                }}
                onTimeUpdate={(event) => {
                  const moved = Math.abs(event.currentTarget.currentTime - lastKept.current);
                  if (moved >= KEPT_EVERY_S) keep();
                }}
              />
            )}
          </div>
          <p class="count-tally" role="status">
            {tally}
            {isOver.value && <span class="muted"> · {t("count.ended")}</span>}
          </p>
          <div class="count-presses">
            {count.has_directions ? (
              <>
                <Press label={t("count.in")} of="I" kind="in" isOff={!isThere} onPress={() => add("in")} />
                <Press label={t("count.out")} of="O" kind="out" isOff={!isThere} onPress={() => add("out")} />
              </>
            ) : (
              <Press label={t("count.one")} of="C" kind="in" isOff={!isThere} onPress={() => add("one")} />
            )}
          </div>
          <div class="row">
            <Button icon="undo" disabled={marks.value.length === 0} onClick={undo}>
              {t("count.undo")}
            </Button>
            {isPlayed && (
              <>
                <Button icon={isPaused.value ? "play" : "pause"} onClick={pause}>
                  {isPaused.value ? t("count.play") : t("count.pause")}
                </Button>
                <Button icon="refresh" onClick={anew}>
                  {t("count.again")}
                </Button>
              </>
            )}
            <Button onClick={() => void say(null)} disabled={isBusy.value}>
              {t("count.unclear")}
            </Button>
            {(at.value ?? 0) > 0 && (
              <Button icon="left" onClick={() => show((at.value ?? 1) - 1)}>
                {t("count.back")}
              </Button>
            )}
            <Button
              kind="primary"
              icon="right"
              disabled={isBusy.value || !(isThere || shown.state === "missing")}
              onClick={next}
            >
              {t("count.next")}
            </Button>
          </div>
          {isPlayed && (
            <Choice
              label={t("count.speed")}
              value={speed.value}
              options={SPEEDS.map((value) => ({
                value,
                label: t("count.speed.value", { n: value }),
              }))}
              onValue={turn}
            />
          )}
          <p class="muted small">{t("count.only_inside")}</p>
        </>
      ) : (
        <div class="row">
          <Button kind="primary" icon="check" disabled={isBusy.value} onClick={() => void close()}>
            {t("count.finish")}
          </Button>
          <Button icon="left" onClick={() => show(count.clips.length - 1)}>
            {t("count.back")}
          </Button>
        </div>
      )}
      {problem.value && (
        <p class="field-problem" role="alert">
          {problem.value}
        </p>
      )}
      {isEnding.value && (
        <Confirm
          title={t("count.finish_early")}
          text={t("count.finish_early_text", { done, n: count.clips.length })}
          action={t("count.finish")}
          onConfirm={() => void close()}
          onClose={() => {
            isEnding.value = false;
          }}
        />
      )}
    </Card>
  );
}

function Press({
  label,
  of,
  kind,
  isOff,
  onPress,
}: {
  label: string;
  of: string;
  kind: "in" | "out";
  /** While there is nothing to look at. */
  isOff: boolean;
  onPress: () => void;
}) {
  return (
    <button
      type="button"
      class={`count-press count-press-${kind}`}
      disabled={isOff}
      onClick={onPress}
    >
      {label} <kbd aria-hidden="true">{of}</kbd>
    </button>
  );
}
