/** Says that the server is gone, and when it is asked again. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Button } from "../parts/button.tsx";
import { isConnected, nextTryAt, tryNow } from "./connection.ts";
import { t } from "./language.ts";

export function OfflineBar() {
  return (
    <div role="status" class="offline-place">
      {!isConnected.value && <Bar />}
    </div>
  );
}

function Bar() {
  const now = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      now.value = Date.now();
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  const at = nextTryAt.value;
  const seconds = at === null ? 0 : Math.max(0, Math.ceil((at - now.value) / 1000));
  return (
    <div class="offline">
      <strong>{t("offline.gone")}</strong>
      {/* Counted for the eye alone: a screen reader would say every second. */}
      <span aria-hidden="true">
        {at === null ? t("offline.trying") : t("offline.next", { seconds })}
      </span>
      <Button small onClick={() => void tryNow()}>
        {t("offline.now")}
      </Button>
    </div>
  );
}
