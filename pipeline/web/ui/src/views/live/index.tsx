import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, number, t, tn } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { query, setQuery } from "../../app/router.ts";
import { areKeysOn, bandwidth } from "../../app/settings.ts";
import { duration } from "../../app/times.ts";
import { Button, ButtonLink, IconButton } from "../../parts/button.tsx";
import { Page } from "../../parts/page.tsx";
import { Said } from "../../parts/said.tsx";
import { Empty, Whichever } from "../../parts/states.tsx";
import { may } from "../../app/session.ts";
import { AskPicture } from "./ask.tsx";
import { columnsFor, DEFAULT_PAGE_SIZE, keyOf, moved, type Move, pageOf, PAGE_SIZES } from "./layout.ts";
import { ArmedStrip } from "../watching/strip.tsx";
import { texts } from "./texts.ts";
import { Tile } from "./tile.tsx";
import { Wall } from "./wall.ts";
import "./live.css";

addTexts(texts);

type WallInfo = components["schemas"]["WallInfo"];

/** A kiosk with more cameras than fit shows its pages in turn. */
const KIOSK_TURN_MS = 15_000;
const SETTINGS = "moonwatch.live";

export default function Live() {
  const info = useLoaded<WallInfo>((signal) => get("/live/cameras", {}, { signal }), [], 60_000);
  const wall = useMemo(() => new Wall(), []);
  // It connects while the cameras are asked for, so that the first pictures need not wait for that.
  useEffect(() => {
    wall.start();
    return () => wall.stop();
  }, []);
  return (
    <Whichever of={info}>
      {(found) =>
        found.cameras.length ? (
          <TheWall info={found} wall={wall} />
        ) : (
          <Page title={t("live.title")}>
            <Empty icon="live" title={t("live.none")} text={t("live.none_text")} />
          </Page>
        )
      }
    </Whichever>
  );
}

function TheWall({ info, wall }: { info: WallInfo; wall: Wall }) {
  const isKiosk = query.value.get("kiosk") === "1";
  const hasShapes = useSignal(kept("shapes", true));
  const size = useSignal(kept("size", DEFAULT_PAGE_SIZE));
  const root = useRef<HTMLDivElement>(null);
  const columns = useSignal(1);
  const aspect = wall.aspect.value;
  useSignalEffect(() => keep({ shapes: hasShapes.value, size: size.value }));
  const opened = info.cameras.find((one) => one.name === query.value.get("camera"));
  const wanted = Number(query.value.get("page") ?? "1") - 1;
  const { shown, page, pages } = pageOf(info.cameras, size.value, wanted);

  useEffect(() => {
    const element = root.current;
    if (!element) return;
    const fit = () => {
      const { clientWidth } = element;
      const height = isKiosk ? innerHeight : Math.max(320, innerHeight - 150);
      columns.value = clientWidth < 560 ? 1 : columnsFor(shown.length, clientWidth, height, aspect);
      element.style.setProperty("--columns", String(columns.value));
      element.style.setProperty("--aspect", String(aspect));
      const rows = Math.ceil(shown.length / columns.value);
      element.style.setProperty("--row", `${Math.floor((height - rows * 12) / rows)}px`);
    };
    const sizing = new ResizeObserver(fit);
    sizing.observe(element);
    addEventListener("resize", fit);
    fit();
    return () => {
      sizing.disconnect();
      removeEventListener("resize", fit);
    };
  }, [shown.length, isKiosk, opened?.name, aspect]);

  useEffect(() => {
    if (!isKiosk || pages < 2) return;
    const turning = setInterval(() => toPage(page + 1 < pages ? page + 1 : 0), KIOSK_TURN_MS);
    return () => clearInterval(turning);
  }, [isKiosk, page, pages]);

  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const key = areKeysOn.value ? keyOf(event) : null;
      if (key === null || document.querySelector("dialog[open]")) return;
      if (actOn(key)) event.preventDefault();
    };
    const actOn = (key: string): boolean => {
      if (key === "f" || key === "F") void fullScreen(root.current);
      else if (key === "Escape" && opened) open(null);
      else if (key === "PageDown" && page + 1 < pages) toPage(page + 1);
      else if (key === "PageUp" && page > 0) toPage(page - 1);
      else if (/^[1-9]$/.test(key) && shown[Number(key) - 1]) open(shown[Number(key) - 1]!.name);
      else if (key.startsWith("Arrow")) return arrow(key.slice(5).toLowerCase() as Move);
      else return false;
      return true;
    };
    const arrow = (move: Move): boolean => {
      if (opened) {
        if (move === "up" || move === "down") return false;
        const at = info.cameras.indexOf(opened) + (move === "right" ? 1 : -1);
        const next = info.cameras[at];
        if (next) open(next.name);
        return true;
      }
      const buttons = [...(root.current?.querySelectorAll<HTMLElement>(".tile-open") ?? [])];
      const from = buttons.indexOf(document.activeElement as HTMLElement);
      const inside = root.current?.contains(document.activeElement);
      if (!inside && document.activeElement !== document.body) return false;
      const to = from < 0 ? 0 : moved(from, buttons.length, columns.value, move);
      buttons[to]?.focus();
      return true;
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [info, opened?.name, page, pages]);

  const notice = info.why_not ?? wall.trouble.value;
  const tiles = (
    <div
      class={isKiosk ? "wall wall-kiosk" : opened ? "wall wall-one" : "wall"}
      ref={root}
      data-connected={wall.socket.isOpen.value ? "yes" : "no"}
    >
      {opened ? (
        <Tile key={opened.name} wall={wall} camera={opened} hasShapes={hasShapes.value} />
      ) : (
        shown.map((camera, index) => (
          <Tile
            key={camera.name}
            wall={wall}
            camera={camera}
            hasShapes={hasShapes.value}
            number={index < 9 && areKeysOn.value ? index + 1 : undefined}
            onOpen={isKiosk ? undefined : () => open(camera.name)}
          />
        ))
      )}
    </div>
  );
  if (isKiosk) {
    return (
      <>
        <h1 class="unseen">{t("live.title")}</h1>
        {tiles}
      </>
    );
  }
  return (
    <Page
      wide
      title={opened ? opened.name : t("live.title")}
      actions={
        <>
          {opened && (
            <Button icon="left" onClick={() => open(null)}>
              {t("live.all")}
            </Button>
          )}
          <Rate wall={wall} />
          <button
            type="button"
            class="button button-plain button-small"
            aria-pressed={hasShapes.value}
            onClick={() => {
              hasShapes.value = !hasShapes.value;
            }}
          >
            {t("live.shapes")}
          </button>
          <span class="wall-fullscreen">
            <IconButton
              icon="fullscreen"
              label={t("live.fullscreen")}
              onClick={() => void fullScreen(root.current)}
            />
          </span>
        </>
      }
    >
      {notice && (
        <p class="wall-notice" role="status">
          <Said text={notice} />
        </p>
      )}
      {wall.socket.isOpen.value === false && (
        <p class="wall-notice" role="status">
          {t("live.reconnecting")}
        </p>
      )}
      <div class="wall-about">
        <ArmedStrip />
        <Engines wall={wall} />
      </div>
      {tiles}
      {opened && may("ask") && <AskPicture key={opened.name} camera={opened.name} view={wall.view(opened.name)} />}
      {opened && may("edit") && (
        <p>
          <ButtonLink icon="edit" href={`/edit/${encodeURIComponent(opened.name)}`}>
            {t("live.edit")}
          </ButtonLink>
        </p>
      )}
      {!opened && (pages > 1 || info.cameras.length > PAGE_SIZES[0]) && (
        <nav class="wall-pages" aria-label={t("live.pages")}>
          {pages > 1 && (
            <>
              <IconButton
                icon="left"
                label={t("live.previous_page")}
                disabled={page === 0}
                onClick={() => toPage(page - 1)}
              />
              <span>{t("live.page", { page: page + 1, pages })}</span>
              <IconButton
                icon="right"
                label={t("live.next_page")}
                disabled={page + 1 >= pages}
                onClick={() => toPage(page + 1)}
              />
            </>
          )}
          <label class="wall-size">
            {t("live.size")}
            <select
              value={String(size.value)}
              onChange={(event) => {
                size.value = Number(event.currentTarget.value);
              }}
            >
              {PAGE_SIZES.map((one) => (
                <option key={one} value={String(one)}>
                  {one}
                </option>
              ))}
            </select>
          </label>
        </nav>
      )}
    </Page>
  );
}

function Rate({ wall }: { wall: Wall }) {
  const rate = wall.socket.rate.value;
  const shown = rate >= 1e6 ? `${number(rate / 1e6, 1)} MB/s` : `${number(rate / 1e3)} kB/s`;
  const choices = ["auto", "low", "still"] as const;
  return (
    <label class="wall-rate">
      <span class="wall-meter" title={t("live.rate")}>
        {shown}
        {wall.socket.isStrained.value && ` · ${t("live.strained")}`}
      </span>
      <span class="unseen">{t("live.bandwidth")}</span>
      <select
        value={bandwidth.value}
        onChange={(event) => {
          bandwidth.value = choices.find((one) => one === event.currentTarget.value) ?? "auto";
          wall.socket.settle();
        }}
      >
        {choices.map((one) => (
          <option key={one} value={one}>
            {t(`live.bandwidth.${one}`)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Engines({ wall }: { wall: Wall }) {
  const engines = Object.entries(wall.engines.value);
  if (!engines.length) return null;
  return (
    <ul class="wall-engines" aria-label={t("live.engines")}>
      {engines.map(([name, one]) => (
        <li key={name} class={(one.oldest_s ?? 0) > 2 ? "tile-warning" : undefined}>
          <strong>{name}</strong>{" "}
          {one.waiting
            ? tn("live.waiting_frames", one.waiting, { age: duration(Math.round((one.oldest_s ?? 0) * 10) / 10) })
            : t("live.keeps_up")}
        </li>
      ))}
    </ul>
  );
}

function open(camera: string | null): void {
  setQuery({ camera });
}

function toPage(page: number): void {
  setQuery({ page: page > 0 ? String(page + 1) : null });
}

async function fullScreen(element: HTMLElement | null): Promise<void> {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await element?.requestFullscreen();
  } catch {
    // Not every browser can, and some forbid it.
  }
}

interface Kept {
  shapes: boolean;
  size: number;
}

function kept<K extends keyof Kept>(name: K, otherwise: Kept[K]): Kept[K] {
  try {
    const found = (JSON.parse(localStorage.getItem(SETTINGS) ?? "{}") as Partial<Kept>)[name];
    if (typeof found !== typeof otherwise) return otherwise;
    if (name === "size" && !PAGE_SIZES.some((one) => one === found)) return otherwise;
    return found as Kept[K];
  } catch {
    return otherwise;
  }
}

function keep(now: Kept): void {
  try {
    localStorage.setItem(SETTINGS, JSON.stringify(now));
  } catch {
    // It lasts as long as the page.
  }
}
