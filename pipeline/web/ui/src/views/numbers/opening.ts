/** Opens a step to what it consists of: its days, hours or minutes. */

import type { components } from "../../api/schema.d.ts";
import { query, setQuery } from "../../app/router.ts";
import type { Span } from "./lines.ts";

type Answer = components["schemas"]["NumbersAnswer"];

const FINER = { "1w": "1d", "1d": "1h", "1h": "1m", "15m": "1m", "1m": "1m" } as const;

export function openStep(answer: Answer, span: Span): void {
  setQuery({
    since: String(Math.floor(span.since)),
    until: String(Math.ceil(span.until)),
    first: null,
    last: null,
    step: FINER[answer.step],
    back: answer.first && answer.last ? backText(answer) : query.value.get("back"),
  });
}

/** Where somebody came from, for the address: the days, and the steps if they were chosen. */
function backText(answer: Answer): string {
  const step = query.value.get("step");
  return [answer.first, answer.last, ...(step ? [step] : [])].join("_");
}
