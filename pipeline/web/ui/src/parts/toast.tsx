/** Short messages at the edge, such as that something was saved. */

import { signal } from "@preact/signals";
import { t } from "../app/language.ts";
import { Button, IconButton } from "./button.tsx";

export interface Toast {
  text: string;
  tone?: "good" | "bad";
  /** Such as to undo. */
  action?: { label: string; act: () => void };
}

const SHOWN_MS = 8_000;
const shown = signal<readonly (Toast & { id: number })[]>([]);
let last = 0;

/** Show a message for some seconds; one of something that failed stays until it is dismissed. */
export function toast(message: Toast): void {
  last += 1;
  const id = last;
  shown.value = [...shown.value.slice(-2), { ...message, id }];
  if (message.tone !== "bad") setTimeout(() => dismiss(id), SHOWN_MS);
}

function dismiss(id: number): void {
  shown.value = shown.value.filter((one) => one.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.value.map((one) => (
        <div key={one.id} class={`toast toast-${one.tone ?? "plain"}`}>
          <span>{one.text}</span>
          {one.action && (
            <Button
              small
              onClick={() => {
                one.action?.act();
                dismiss(one.id);
              }}
            >
              {one.action.label}
            </Button>
          )}
          <IconButton icon="close" label={t("part.dismiss")} onClick={() => dismiss(one.id)} />
        </div>
      ))}
    </div>
  );
}
