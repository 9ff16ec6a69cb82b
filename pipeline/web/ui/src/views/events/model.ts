/** What the list knows: what is shown, what is new, and what was marked. */

import { computed, signal } from "@preact/signals";
import { get, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { go, path, query } from "../../app/router.ts";
import { may } from "../../app/session.ts";
import { type Filters, type Shown, fromQuery, toApi, toQuery } from "./filters.ts";

type Schemas = components["schemas"];
export type EventCard = Schemas["EventCard"];
export type EventDetail = Schemas["EventDetail"];
type EventPage = Schemas["EventPage"];
type ReviewedIds = Schemas["ReviewedIds"];

const PAGE = 48;
const WAIT_S = 25;
const AGAIN_MS = 3_000;
const MOST_NEW = 99;

/** Who may review begins with what is to be reviewed. */
export const defaultShown = (): Shown => (may("review") ? "open" : "all");
export const filters = computed<Filters>(() => fromQuery(query.value, defaultShown()));
/** The happening whose panel is open. */
export const openId = computed(() => query.value.get("event"));
/** What belongs to the address beside filters. */
const BESIDE = ["span", "by", "event"];

export const shownCards = signal<readonly EventCard[] | null>(null);
export const freshCards = signal<readonly EventCard[]>([]);
export const listFailure = signal<unknown>(null);
export const moreFailure = signal<unknown>(null);
export const beyond = signal<number | null>(null);
export const wasCut = signal(false);
export const isLoadingMore = signal(false);
/** Marks that can be taken back, the last one at the end. */
export const undoable = signal<readonly { ids: readonly string[]; reviewed: boolean }[]>([]);
/** Up to which position the server was asked. */
const position = signal(0);
let reading: AbortController | null = null;

/** Change filters; the address follows. */
export function choose(changed: Filters): void {
  const next = toQuery(changed, defaultShown());
  for (const name of BESIDE) {
    const value = query.value.get(name);
    if (value !== null && name !== "event") next.set(name, value);
  }
  const text = next.toString();
  go(text ? `${path.value}?${text}` : path.value, { replace: true });
}

/** The address of a happening's panel over this list. */
export function addressOf(id: string | null): string {
  const next = new URLSearchParams(query.value);
  if (id === null) next.delete("event");
  else next.set("event", id);
  const text = next.toString();
  return text ? `${path.value}?${text}` : path.value;
}

/** Read the first page, and wait for what is new from then on; returns what ends that. */
export function startReading(wanted: Filters): () => void {
  reading?.abort();
  const controller = new AbortController();
  reading = controller;
  freshCards.value = [];
  void read(wanted, controller.signal);
  return () => controller.abort();
}

async function read(wanted: Filters, ended: AbortSignal): Promise<void> {
  try {
    const page = await get<EventPage>("/events", { ...toApi(wanted), limit: PAGE }, { signal: ended });
    shownCards.value = page.events;
    beyond.value = page.beyond;
    wasCut.value = page.cut;
    position.value = page.position;
    listFailure.value = null;
    moreFailure.value = null;
  } catch (error) {
    if (ended.aborted) return;
    shownCards.value = null;
    listFailure.value = error;
    return;
  }
  await follow(wanted, ended);
}

async function follow(wanted: Filters, ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    if (document.visibilityState === "hidden") {
      await visible(ended);
      continue;
    }
    try {
      const asked = { ...toApi(wanted), after: position.value, wait: WAIT_S, limit: PAGE };
      const options = { signal: ended, deadlineMs: (WAIT_S + 15) * 1000 };
      const page = await get<EventPage>("/events", asked, options);
      position.value = page.position;
      takeIn(page.events);
    } catch {
      if (ended.aborted) return;
      await rest(AGAIN_MS, ended);
    }
  }
}

/** What goes on is brought up to date where it stands; what is new waits in its bar. */
function takeIn(events: readonly EventCard[]): void {
  if (!events.length) return;
  const known = new Map(events.map((one) => [one.id, one]));
  const renew = (one: EventCard) => known.get(one.id) ?? one;
  shownCards.value = (shownCards.value ?? []).map(renew);
  const before = new Set([...shownCards.value, ...freshCards.value].map((one) => one.id));
  const oldest = shownCards.value.at(-1)?.position ?? 0;
  const added = events.filter(
    (one) => !before.has(one.id) && (one.position > oldest || beyond.value === null),
  );
  freshCards.value = [...added.reverse(), ...freshCards.value.map(renew)].slice(0, MOST_NEW);
}

/** Put what is new at the top. */
export function showFresh(): void {
  shownCards.value = [...freshCards.value, ...(shownCards.value ?? [])];
  freshCards.value = [];
}

export async function readMore(): Promise<void> {
  if (beyond.value === null || isLoadingMore.value) return;
  const wanted = filters.peek();
  const mine = reading;
  isLoadingMore.value = true;
  try {
    const asked = { ...toApi(wanted), beyond: beyond.value, limit: PAGE };
    const page = await get<EventPage>("/events", asked);
    if (mine !== reading) return;
    const there = new Set((shownCards.value ?? []).map((one) => one.id));
    const added = page.events.filter((one) => !there.has(one.id));
    shownCards.value = [...(shownCards.value ?? []), ...added];
    beyond.value = page.beyond;
    wasCut.value = page.cut;
    moreFailure.value = null;
  } catch (error) {
    moreFailure.value = error;
  } finally {
    isLoadingMore.value = false;
  }
}

/** Mark one, or take its mark back; it stays where it is. */
export async function mark(ids: readonly string[], reviewed: boolean): Promise<number> {
  const done = await post<ReviewedIds>("/reviews", { ids, reviewed });
  noteMarks(done.ids, reviewed);
  if (done.ids.length) undoable.value = [...undoable.value.slice(-49), { ids: done.ids, reviewed }];
  return done.ids.length;
}

/** Mark all that pass the filters, up to the newest that is shown. */
export async function markAll(): Promise<number> {
  const asked = Object.fromEntries(
    Object.entries(toApi(filters.peek())).filter(([, value]) => value !== null),
  );
  const upto = Math.max(0, ...(shownCards.value ?? []).map((one) => one.position));
  const done = await post<ReviewedIds>("/reviews/range", { ...asked, upto });
  noteMarks(done.ids, true);
  if (done.ids.length) undoable.value = [...undoable.value, { ids: done.ids, reviewed: true }];
  return done.ids.length;
}

/** Take the last mark back; null where there is none. */
export async function undo(): Promise<number | null> {
  const last = undoable.value.at(-1);
  if (!last) return null;
  const done = await post<ReviewedIds>("/reviews", { ids: last.ids, reviewed: !last.reviewed });
  undoable.value = undoable.value.slice(0, -1);
  noteMarks(last.ids, !last.reviewed);
  return done.ids.length;
}

function noteMarks(ids: readonly string[], reviewed: boolean): void {
  const changed = new Set(ids);
  const at = reviewed ? Date.now() / 1000 : null;
  const renew = (one: EventCard) => (changed.has(one.id) ? { ...one, reviewed_at: at } : one);
  shownCards.value = shownCards.value?.map(renew) ?? null;
  freshCards.value = freshCards.value.map(renew);
}

/** Bring one up to date where it is shown. */
export function renewCard(card: EventCard): void {
  shownCards.value = shownCards.value?.map((one) => (one.id === card.id ? card : one)) ?? null;
}

/** The one beside another in the list. */
export function neighbour(id: string, step: 1 | -1): EventCard | null {
  const cards = shownCards.value ?? [];
  const at = cards.findIndex((one) => one.id === id);
  return at < 0 ? null : (cards[at + step] ?? null);
}

function rest(ms: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    ended.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function visible(ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState === "hidden" && !ended.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    ended.addEventListener("abort", look);
  });
}
