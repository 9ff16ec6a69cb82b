/** A month of days to choose from: which have events, which of them are open, what was not seen. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { locale, percent, t, tn } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { setQuery } from "../../app/router.ts";
import { may, now, timezone } from "../../app/session.ts";
import { inputValue } from "../../app/times.ts";
import { Button, IconButton } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { dayByKey, monthLater, monthOf, weekStart, weeksOf } from "../../parts/month.ts";
import { Failed } from "../../parts/states.tsx";
import { filters } from "./model.ts";

type Month = components["schemas"]["CalendarSaid"];
type Day = Month["days"][number];

/** Less is marked, as in reports. */
const ENOUGH = 0.9;
const [FIRST, LAST] = ["1971-01-01", "2199-12-31"];

export function CalendarButton() {
  const isOpen = useSignal(false);
  return (
    <>
      <Button
        icon="today"
        aria-haspopup="dialog"
        onClick={() => {
          isOpen.value = true;
        }}
      >
        {t("events.calendar")}
      </Button>
      {isOpen.value && (
        <Calendar
          onClose={() => {
            isOpen.value = false;
          }}
        />
      )}
    </>
  );
}

/** Where weeks begin: as the browser's own region has it, if it speaks the language shown. */
function startsOn(): number {
  const own = navigator.languages.find((tag) => tag.slice(0, 2) === locale.value.slice(0, 2));
  return weekStart(own?.includes("-") ? own : locale.value);
}

function Calendar({ onClose }: { onClose: () => void }) {
  const { camera, rule, type, since, until } = filters.value;
  const zone = timezone(camera.length === 1 ? camera[0] : undefined);
  const dayAt = (at: number) => inputValue(at, zone).slice(0, 10);
  const today = dayAt(now());
  const here = useSignal(since === null ? today : dayAt(since));
  const moved = useRef(true);
  const month = monthOf(here.value);
  const asked = { month, camera, rule, type };
  const loaded = useLoaded<Month>(
    (signal) => get<Month>("/calendar", asked, { signal }),
    [JSON.stringify(asked)],
  );
  const grid = useRef<HTMLTableElement>(null);
  useEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    grid.current?.querySelector<HTMLElement>("[tabindex='0']")?.focus();
  }, [here.value]);
  const found = loaded.value.value?.month === month ? loaded.value.value : null;
  const days = new Map(found?.days.map((day) => [day.day, day]));
  const starts = startsOn();
  const move = (to: string) => {
    here.value = to < FIRST ? FIRST : to > LAST ? LAST : to;
  };
  const choose = (day: Day) => {
    const isDone = day.happenings > 0 && day.unreviewed === 0 && filters.peek().shown === "open";
    setQuery({
      since: String(day.since),
      until: String(day.until),
      span: `${day.since}-${day.until}`,
      ...(isDone ? { show: "all" } : {}),
    });
    onClose();
  };
  const isWithin = (day: Day) =>
    since !== null && until !== null && day.since < until && since < day.until;
  return (
    <Dialog title={t("events.calendar")} onClose={onClose}>
      <div class="month-head">
        <IconButton
          icon="left"
          label={t("events.calendar.before")}
          onClick={() => move(monthLater(here.value, -1))}
        />
        <h3 id="month-name" aria-live="polite">
          {dated(`${month}-01`, { month: "long", year: "numeric" })}
        </h3>
        <IconButton
          icon="right"
          label={t("events.calendar.after")}
          onClick={() => move(monthLater(here.value, 1))}
        />
      </div>
      <table
        ref={grid}
        class="month"
        role="grid"
        aria-labelledby="month-name"
        aria-busy={found === null}
        onKeyDown={(event) => {
          const to = dayByKey(here.peek(), event.key, event.shiftKey, starts);
          if (to === null || event.ctrlKey || event.metaKey || event.altKey) return;
          event.preventDefault();
          moved.current = true;
          move(to);
        }}
      >
        <thead>
          <tr>
            {Array.from({ length: 7 }, (_, n) => `2024-01-0${((n + starts - 1) % 7) + 1}`).map(
              (day) => (
                <th key={day} scope="col" abbr={dated(day, { weekday: "long" })}>
                  {dated(day, { weekday: "short" })}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {weeksOf(month, starts).map((week, row) => (
            <tr key={row}>
              {week.map((day, column) => {
                if (day === null) return <td key={column} role="gridcell" />;
                const said = days.get(day);
                return (
                  <td
                    key={day}
                    role="gridcell"
                    aria-selected={said !== undefined && isWithin(said)}
                    class={said && isBlind(said) ? "month-blind" : undefined}
                  >
                    <button
                      type="button"
                      tabIndex={day === here.value ? 0 : -1}
                      aria-current={day === today ? "date" : undefined}
                      aria-disabled={said === undefined}
                      aria-label={nameOf(day, said)}
                      onFocus={() => {
                        here.value = day;
                      }}
                      onClick={() => said && choose(said)}
                    >
                      {Number(day.slice(8))}
                      {said && said.happenings > 0 && <span class={dotOf(said)} />}
                    </button>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      {loaded.failure.value !== null && (
        <Failed error={loaded.failure.value} again={loaded.again} />
      )}
      <ul class="month-key">
        <li>
          <span class="dot" /> {t(may("review") ? "events.calendar.open" : "events.calendar.some")}
        </li>
        {may("review") && (
          <li>
            <span class="dot dot-done" /> {t("events.calendar.done")}
          </li>
        )}
        <li>
          <span class="hatch" /> {t("events.calendar.blind")}
        </li>
      </ul>
      <p class="muted month-note">
        {t("events.calendar.note", { zone: found?.timezone ?? zone })}
      </p>
    </Dialog>
  );
}

/** A day, which is the same one wherever it is read. */
function dated(day: string, parts: Intl.DateTimeFormatOptions): string {
  const format = new Intl.DateTimeFormat(locale.value, { ...parts, timeZone: "UTC" });
  return format.format(Date.parse(`${day}T00:00:00Z`));
}

function isBlind(day: Day): boolean {
  return day.known !== null && day.known < ENOUGH;
}

function dotOf(day: Day): string {
  return may("review") && day.unreviewed === 0 ? "dot dot-done" : "dot";
}

/** What a day holds, for who does not see its marks. */
function nameOf(day: string, said: Day | undefined): string {
  const words = [dated(day, { weekday: "long", day: "numeric", month: "long", year: "numeric" })];
  if (said) {
    words.push(tn("events.calendar.events", said.happenings));
    if (may("review") && said.happenings > 0) {
      words.push(t("events.calendar.unreviewed", { n: said.unreviewed }));
    }
    if (said.known !== null && isBlind(said)) {
      words.push(t("events.calendar.known", { percent: percent(said.known) }));
    }
  }
  return words.join(", ");
}
