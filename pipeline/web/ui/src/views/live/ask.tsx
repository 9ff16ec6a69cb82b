/** Ask the picture that is shown, in any words; the answer is drawn in that very picture. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { post } from "../../api/client.ts";
import { number, percent, t, tn } from "../../app/language.ts";
import { may } from "../../app/session.ts";
import { duration } from "../../app/times.ts";
import { Button, ButtonLink } from "../../parts/button.tsx";
import { Card } from "../../parts/page.tsx";
import { Failed } from "../../parts/states.tsx";
import { areaOf, place } from "./fit.ts";
import type { CameraView } from "./wall.ts";

const KINDS = ["detect", "point", "count", "ask"] as const;
type Kind = (typeof KINDS)[number];
/** Longer than an answer is waited for there. */
const DEADLINE_MS = 45_000;

interface Answer {
  jpeg: string;
  engine: string;
  took_s: number;
  answer: {
    boxes?: [number, number, number, number][];
    points?: [number, number][];
    scores?: number[];
    number?: number;
    saturated?: boolean;
    text?: string;
    yes_probability?: number | null;
    failed?: string;
  };
}

export function AskPicture({ camera, view }: { camera: string; view: CameraView }) {
  const kind = useSignal<Kind>("detect");
  const words = useSignal("");
  const isAsking = useSignal(false);
  const failure = useSignal<unknown>(null);
  const found = useSignal<{ answer: Answer; kind: Kind; words: string } | null>(null);
  const refused = useRef<HTMLDivElement>(null);
  useEffect(() => intoView(refused.current), [failure.value]);
  const ask = async () => {
    const known = view.frame.value?.known;
    isAsking.value = true;
    failure.value = null;
    const asked = { kind: kind.value, words: words.value.trim() };
    try {
      const frame = known ? { run: known.run, seq: known.seq } : {};
      const body = { camera, ...asked, ...frame };
      const answer = await post<Answer>("/ask", body, { deadlineMs: DEADLINE_MS });
      found.value = { answer, ...asked };
    } catch (error) {
      failure.value = error;
    }
    isAsking.value = false;
  };
  return (
    <Card title={t("live.ask")}>
      <form
        class="ask-fields"
        onSubmit={(event) => {
          event.preventDefault();
          if (words.value.trim() && !isAsking.value) void ask();
        }}
      >
        <div class="field">
          <label for="ask-kind">{t("live.ask.kind")}</label>
          <select
            id="ask-kind"
            value={kind.value}
            onChange={(event) => {
              kind.value = KINDS.find((one) => one === event.currentTarget.value) ?? "detect";
            }}
          >
            {KINDS.map((one) => (
              <option key={one} value={one}>
                {t(`live.ask.${one}`)}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="ask-words">{t("live.ask.words")}</label>
          <input
            id="ask-words"
            value={words.value}
            maxLength={300}
            autocomplete="off"
            placeholder={t(`live.ask.example.${kind.value}`)}
            onInput={(event) => {
              words.value = event.currentTarget.value;
            }}
          />
        </div>
        <Button kind="primary" type="submit" disabled={isAsking.value || !words.value.trim()}>
          {isAsking.value ? t("live.ask.asking") : t("live.ask.send")}
        </Button>
      </form>
      {failure.value !== null && (
        <div ref={refused}>
          <Failed error={failure.value} />
        </div>
      )}
      {found.value && <Answered camera={camera} {...found.value} />}
    </Card>
  );
}

function Answered({
  camera,
  answer,
  kind,
  words,
}: {
  camera: string;
  answer: Answer;
  kind: Kind;
  words: string;
}) {
  const said = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    void draw(canvas.current, answer).then(() => intoView(said.current));
  }, [answer]);
  const { engine, took_s: took } = answer;
  const rule = new URLSearchParams({ task: words.slice(0, 40), kind, words, engine });
  return (
    <div class="ask-answer" role="status" ref={said}>
      <p class="ask-words">{saidOf(answer)}</p>
      <canvas ref={canvas} role="img" aria-label={t("live.ask.picture")} />
      <p class="muted small">{t("live.ask.took", { engine, took: duration(Math.round(took * 10) / 10) })}</p>
      {may("edit") && (
        <p>
          <ButtonLink icon="edit" href={`/edit/${encodeURIComponent(camera)}?${rule}`}>
            {t("live.ask.rule")}
          </ButtonLink>
        </p>
      )}
    </div>
  );
}

/** What is said stands below the picture, and would be missed by who sees only that. */
function intoView(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}

function saidOf({ answer }: Answer): string {
  if (answer.failed !== undefined) return t("live.ask.failed", { reason: answer.failed });
  if (answer.number !== undefined) return number(answer.number) + (answer.saturated ? "+" : "");
  if (answer.text !== undefined) {
    const likely = answer.yes_probability;
    const share = likely === null || likely === undefined ? "" : percent(likely);
    return share ? `${answer.text} (${t("live.ask.yes", { share })})` : answer.text;
  }
  const found = (answer.boxes ?? answer.points ?? []).length;
  return tn("live.ask.found", found) + (answer.saturated ? "+" : "");
}

const COLOUR = "#f2d16b";

async function draw(canvas: HTMLCanvasElement | null, answer: Answer): Promise<void> {
  if (!canvas) return;
  const bytes = Uint8Array.from(atob(answer.jpeg), (one) => one.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const unit = Math.min(2, window.devicePixelRatio);
  canvas.width = Math.round(canvas.clientWidth * unit);
  canvas.height = Math.round((canvas.width * bitmap.height) / bitmap.width);
  canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
  const context = canvas.getContext("2d");
  if (!context) return;
  const fit = areaOf(bitmap, canvas);
  context.drawImage(bitmap, fit.x, fit.y, fit.width, fit.height);
  bitmap.close();
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  const scores = answer.answer.scores ?? [];
  answer.answer.boxes?.forEach(([x0, y0, x1, y1], index) => {
    const [left, top] = place([x0, y0], fit);
    const [right, bottom] = place([x1, y1], fit);
    for (const [style, width] of [["rgb(0 0 0 / 70%)", 4], [COLOUR, 2]] as const) {
      context.strokeStyle = style;
      context.lineWidth = width * unit;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    const score = scores[index];
    if (score === undefined) return;
    const text = percent(score);
    const width = context.measureText(text).width + 6 * unit;
    const above = Math.max(0, top - 16 * unit);
    context.fillStyle = "rgb(0 0 0 / 72%)";
    context.fillRect(left, above, width, 16 * unit);
    context.fillStyle = COLOUR;
    context.fillText(text, left + 3 * unit, above + 12 * unit);
  });
  for (const point of answer.answer.points ?? []) {
    const [x, y] = place(point, fit);
    context.beginPath();
    context.arc(x, y, 6 * unit, 0, Math.PI * 2);
    context.fillStyle = COLOUR;
    context.fill();
    context.lineWidth = 2 * unit;
    context.strokeStyle = "rgb(0 0 0 / 70%)";
    context.stroke();
  }
}
