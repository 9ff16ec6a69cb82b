/** Lists the keys that work in the view that is open. */

import { useSignal } from "@preact/signals";
import { Dialog } from "../parts/dialog.tsx";
import { keyGroups, keyName, useKeys } from "./keys.ts";
import { t } from "./language.ts";

export function KeyHelp() {
  const isOpen = useSignal(false);
  const open = () => {
    isOpen.value = true;
  };
  useKeys(t("keys.everywhere"), [{ keys: ["?"], label: t("keys.help"), act: open }]);
  if (!isOpen.value) return null;
  return (
    <Dialog
      title={t("keys.title")}
      onClose={() => {
        isOpen.value = false;
      }}
    >
      {keyGroups.value.map((group) => (
        <section key={group.id} class="keys">
          <h3>{group.title}</h3>
          <dl>
            {group.keys().map((key) => (
              <div key={key.keys.join()}>
                <dt>
                  {key.keys.map((one) => (
                    <kbd key={one}>{keyName(one)}</kbd>
                  ))}
                </dt>
                <dd>{key.label}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
      <p class="muted small">{t("keys.off")}</p>
    </Dialog>
  );
}
