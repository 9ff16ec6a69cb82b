import type { ComponentChildren } from "preact";

export type Tone = "plain" | "good" | "warning" | "bad" | "accent";

/** A word that says how something is; never by colour alone. */
export function Badge({ tone = "plain", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge badge-${tone}`}>{children}</span>;
}
