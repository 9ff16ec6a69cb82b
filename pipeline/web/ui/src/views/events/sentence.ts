/** A happening as one sentence in the chosen language. */

import { t } from "../../app/language.ts";
import { duration } from "../../app/times.ts";
import type { EventCard } from "./model.ts";
import { headline } from "./words.ts";

export function sentenceOf(one: EventCard): string {
  const said = headline(one, duration, t("events.object"));
  const way = said.values["way"];
  const values = way === "in" || way === "out" ? { ...said.values, way: t(`events.way.${way}`) } : said.values;
  return t(said.key, values);
}
