/** The days of a month as a calendar has them, without any page: 2026-11-27, 2026-11. */

const DAY_MS = 86_400_000;

/** On which day weeks begin where a language is spoken so: 1 Monday … 7 Sunday. */
export function weekStart(tag: string): number {
  const locale = new Intl.Locale(tag) as Intl.Locale & {
    getWeekInfo?: () => { firstDay: number };
  };
  return locale.getWeekInfo?.().firstDay ?? 1;
}

const at = (day: string) => Date.parse(`${day}T00:00:00Z`);
const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** The month that holds a day. */
export function monthOf(day: string): string {
  return day.slice(0, 7);
}

/** A day so many days later. */
export function dayLater(day: string, days: number): string {
  return dayOf(at(day) + days * DAY_MS);
}

/** The same day so many months later, or the last one of that month. */
export function monthLater(day: string, months: number): string {
  const from = new Date(at(day));
  const [year, month] = [from.getUTCFullYear(), from.getUTCMonth() + months];
  const last = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  return dayOf(Date.UTC(year, month, Math.min(from.getUTCDate(), last)));
}

/** The weeks of a month, from the day weeks begin on; null before its first and after its last day. */
export function weeksOf(month: string, starts: number): (string | null)[][] {
  const first = `${month}-01`;
  const before = (new Date(at(first)).getUTCDay() - starts + 7) % 7;
  const days: (string | null)[] = new Array<null>(before).fill(null);
  for (let day = first; monthOf(day) === month; day = dayLater(day, 1)) days.push(day);
  while (days.length % 7) days.push(null);
  return Array.from({ length: days.length / 7 }, (_, week) => days.slice(week * 7, week * 7 + 7));
}

/** Where a key leads from a day; null for one that moves nothing. */
export function dayByKey(day: string, key: string, shift: boolean, starts: number): string | null {
  const inWeek = (new Date(at(day)).getUTCDay() - starts + 7) % 7;
  switch (key) {
    case "ArrowLeft":
      return dayLater(day, -1);
    case "ArrowRight":
      return dayLater(day, 1);
    case "ArrowUp":
      return dayLater(day, -7);
    case "ArrowDown":
      return dayLater(day, 7);
    case "Home":
      return dayLater(day, -inWeek);
    case "End":
      return dayLater(day, 6 - inWeek);
    case "PageUp":
      return monthLater(day, shift ? -12 : -1);
    case "PageDown":
      return monthLater(day, shift ? 12 : 1);
    default:
      return null;
  }
}
