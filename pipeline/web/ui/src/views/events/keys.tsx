/** The keys of the list, which can be switched off. */

import { signal, useSignal } from "@preact/signals";
import { t } from "../../app/language.ts";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Checkbox } from "../../parts/field.tsx";

const KEPT = "moonwatch.events.keys";

function kept(): boolean {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true;
  }
}

export const areKeysOn = signal(kept());

export function Keys() {
  const isOpen = useSignal(false);
  const rows: [string[], string][] = [
    [["J"], "events.keys.next"],
    [["K"], "events.keys.previous"],
    [["X", t("events.keys.space")], "events.keys.mark"],
    [["U"], "events.keys.undo"],
    [["Enter"], "events.keys.enter"],
  ];
  return (
    <div class="keys-button">
      <Button
        kind="quiet"
        onClick={() => {
          isOpen.value = true;
        }}
      >
        {t("events.keys")}
      </Button>
      {isOpen.value && (
        <Dialog
          title={t("events.keys")}
          onClose={() => {
            isOpen.value = false;
          }}
        >
          <Checkbox
            label={t("events.keys.on")}
            checked={areKeysOn.value}
            onChecked={(on) => {
              areKeysOn.value = on;
              try {
                localStorage.setItem(KEPT, on ? "on" : "off");
              } catch {
                // It holds until the page is closed.
              }
            }}
          />
          <dl class="facts">
            {rows.map(([keys, text]) => (
              <div key={text}>
                <dt>
                  {keys.map((key, index) => (
                    <span key={key}>
                      {index > 0 && ` ${t("events.keys.or")} `}
                      <kbd>{key}</kbd>
                    </span>
                  ))}
                </dt>
                <dd>{t(text)}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
    </div>
  );
}
