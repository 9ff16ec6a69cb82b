/** Addresses of what is behind a number. */

import { withQuery } from "../../api/client.ts";

/** The events of a time, of one camera and rule; also those that were reviewed. */
export function eventsAddress(one: {
  camera?: string;
  rule?: string;
  since?: number;
  until?: number;
}): string {
  return withQuery("/events", { show: "all", ...one });
}

/** The numbers of rules on some days. */
export function numbersAddress(rules: readonly string[], first: string, last: string): string {
  return withQuery("/numbers", { rules: rules.join(",") || null, first, last });
}

/** Where a rule, such as plaza/middle, is counted by hand. */
export function countAddress(rule: string): string {
  return withQuery("/count", { rule });
}
