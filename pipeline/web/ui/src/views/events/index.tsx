/** What happened: a timeline, the list to review, and a panel for one happening. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { addTexts, t, tn } from "../../app/language.ts";
import { go } from "../../app/router.ts";
import { may, timezone } from "../../app/session.ts";
import { date } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Page } from "../../parts/page.tsx";
import { Empty, Failed, Loading, sentenceOf as failureOf } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import { Card } from "./card.tsx";
import "./events.css";
import { FilterBar } from "./filter_bar.tsx";
import { cleared, countOf } from "./filters.ts";
import { Keys, areKeysOn } from "./keys.tsx";
import {
  type EventCard,
  addressOf,
  beyond,
  choose,
  filters,
  freshCards,
  isLoadingMore,
  listFailure,
  mark,
  markAll,
  moreFailure,
  neighbour,
  openId,
  readMore,
  shownCards,
  showFresh,
  startReading,
  undo,
  wasCut,
} from "./model.ts";
import { Panel } from "./panel.tsx";
import { texts } from "./texts.ts";
import { TimelineBand } from "./timeline.tsx";

addTexts(texts);

export default function Events() {
  const isAsking = useSignal(false);
  const tries = useSignal(0);
  const asked = JSON.stringify(filters.value);
  useEffect(() => {
    shownCards.value = null;
    listFailure.value = null;
    return startReading(filters.peek());
  }, [asked, tries.value]);
  useEffect(() => {
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const cards = shownCards.value;
  const open = openId.value;
  return (
    <Page
      title={t("events.title")}
      actions={
        <>
          <Keys />
          {may("review") && filters.value.shown !== "reviewed" && (
            <Button
              icon="check"
              disabled={!cards?.length}
              onClick={() => {
                isAsking.value = true;
              }}
            >
              {t("events.review.all")}
            </Button>
          )}
        </>
      }
    >
      <TimelineBand />
      <FilterBar />
      <div class="news" role="status">
        {freshCards.value.length > 0 && (
          <Button kind="primary" icon="up" onClick={showFresh}>
            {tn("events.new", freshCards.value.length)}
          </Button>
        )}
      </div>
      {listFailure.value !== null ? (
        <Failed
          error={listFailure.value}
          again={() => {
            tries.value += 1;
          }}
        />
      ) : cards === null ? (
        <Loading />
      ) : cards.length === 0 && beyond.value === null ? (
        <Nothing />
      ) : (
        <List cards={cards} />
      )}
      {open !== null && <Panel id={open} onMark={markOne} />}
      {isAsking.value && (
        <Confirm
          title={t("events.review.all")}
          text={t("events.review.all.ask")}
          action={t("events.review.all")}
          onClose={() => {
            isAsking.value = false;
          }}
          onConfirm={() => {
            isAsking.value = false;
            void tried(async () => said(await markAll()));
          }}
        />
      )}
    </Page>
  );
}

/** By day, with the day above; in the order of the list. */
function List({ cards }: { cards: readonly EventCard[] }) {
  const days: { name: string; cards: EventCard[] }[] = [];
  for (const one of cards) {
    const name = date(one.began_at, timezone(one.camera));
    const last = days.at(-1);
    if (last?.name === name) last.cards.push(one);
    else days.push({ name, cards: [one] });
  }
  return (
    <>
      {days.map((day, index) => (
        <section key={`${day.name} ${index}`} class="event-day">
          <h2>{day.name}</h2>
          <ul class="event-list">
            {day.cards.map((one) => (
              <Card
                key={one.id}
                one={one}
                onMark={(card) => void markOne(card.id, card.reviewed_at === null)}
              />
            ))}
          </ul>
        </section>
      ))}
      {moreFailure.value !== null && (
        <Failed error={moreFailure.value} again={() => void readMore()} />
      )}
      {beyond.value !== null && moreFailure.value === null && (
        <div class="state-ways">
          {wasCut.value && <p class="muted">{t("events.cut")}</p>}
          <Button disabled={isLoadingMore.value} onClick={() => void readMore()}>
            {t(wasCut.value ? "events.cut.on" : "events.more")}
          </Button>
        </div>
      )}
    </>
  );
}

function Nothing() {
  const wanted = filters.value;
  const isNarrow = countOf(wanted) > 0;
  if (!isNarrow && wanted.shown === "open") {
    return (
      <Empty icon="check" title={t("events.none.open")} text={t("events.none.open.text")}>
        <Button onClick={() => choose({ ...wanted, shown: "all" })}>
          {t("events.none.show_all")}
        </Button>
      </Empty>
    );
  }
  return (
    <Empty
      icon="events"
      title={t("events.none")}
      text={t(isNarrow ? "events.none.filtered" : "events.none.text")}
    >
      {isNarrow && (
        <Button onClick={() => choose(cleared(wanted))}>{t("events.filters.clear")}</Button>
      )}
    </Empty>
  );
}

async function tried(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    toast({ text: failureOf(error), tone: "bad" });
  }
}

function said(count: number): void {
  toast({
    text: tn("events.review.marked", count),
    action: { label: t("events.review.undo"), act: () => void takeBack() },
  });
}

async function markOne(id: string, reviewed: boolean): Promise<void> {
  await tried(async () => {
    await mark([id], reviewed);
  });
}

async function takeBack(): Promise<void> {
  await tried(async () => {
    const done = await undo();
    toast({ text: t(done === null ? "events.review.nothing" : "events.review.undone") });
  });
}

const TYPING = "input:not([type=checkbox]):not([type=radio]), select, textarea, [contenteditable]";

/** J and K go through the list, or through panels; X and the space bar mark, U takes back. */
function onKey(event: KeyboardEvent): void {
  if (!areKeysOn.value || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest(TYPING)) return;
  const key = event.key.toLowerCase();
  const open = openId.peek();
  if (document.querySelector("dialog[open]") && open === null) return;
  const link = target?.closest("[data-id]")?.querySelector<HTMLElement>("[data-event]") ?? null;
  const here = open ?? link?.dataset["event"] ?? null;
  if (key === "j" || key === "k") {
    const first = document.querySelector<HTMLElement>("[data-event]");
    const next = here === null ? null : neighbour(here, key === "j" ? 1 : -1);
    if (open !== null) {
      if (next) go(addressOf(next.id), { replace: true });
    } else if (here === null) first?.focus();
    else if (next) document.querySelector<HTMLElement>(`[data-event="${next.id}"]`)?.focus();
  } else if (key === "u") {
    if (!may("review")) return;
    void takeBack();
  } else if (key === "x" || key === " ") {
    // A button that has the focus keeps its space bar.
    if (here === null || !may("review")) return;
    if (key === " " && target?.closest("button, summary, video, [role=slider], input")) return;
    const one = shownCards.peek()?.find((card) => card.id === here);
    if (one) void markOne(one.id, one.reviewed_at === null);
  } else return;
  event.preventDefault();
}
