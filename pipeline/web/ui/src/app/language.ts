/** The words of the chosen language. Each view brings its own, as `texts.ts` in its folder. */

import { computed } from "@preact/signals";
import { type Language, languageChoice } from "./settings.ts";
import { texts as shared } from "./texts.ts";

export interface Texts {
  en: Record<string, string>;
  de: Record<string, string>;
}

const catalogue: Record<Language, Record<string, string>> = { en: {}, de: {} };

/** Add the words of a view; called as its module is loaded. */
export function addTexts(texts: Texts): void {
  Object.assign(catalogue.en, texts.en);
  Object.assign(catalogue.de, texts.de);
}

addTexts(shared);

function ofBrowser(): Language {
  const wanted = typeof navigator === "undefined" ? [] : navigator.languages;
  const first = wanted.map((tag) => tag.slice(0, 2)).find((tag) => tag === "de" || tag === "en");
  return first === "de" ? "de" : "en";
}

export const language = computed<Language>(() =>
  languageChoice.value === "system" ? ofBrowser() : languageChoice.value,
);

/** For dates and numbers: British rather than American, for its 24-hour clock. */
export const locale = computed(() => (language.value === "de" ? "de-DE" : "en-GB"));

/** The text of a key, with `{name}` replaced; the key itself where there is none. */
export function t(key: string, values: Record<string, string | number> = {}): string {
  const text = catalogue[language.value][key] ?? catalogue.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in values ? String(values[name]) : whole,
  );
}

/** The text for a count: `key.one` for exactly one, otherwise `key.other`; `{n}` is the count. */
export function tn(key: string, n: number, values: Record<string, string | number> = {}): string {
  return t(n === 1 ? `${key}.one` : `${key}.other`, { n: number(n), ...values });
}

/** A number as it is written in the language. */
export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(locale.value, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/** A share (0..1) in percent. */
export function percent(share: number, digits = 0): string {
  return new Intl.NumberFormat(locale.value, {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(share);
}
