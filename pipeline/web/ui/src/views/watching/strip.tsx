/** One line that says whether it is armed, and changes it; nothing where no rule asks. */

import { addTexts, number, t } from "../../app/language.ts";
import { may } from "../../app/session.ts";
import { Button } from "../../parts/button.tsx";
import { Icon } from "../../parts/icon.tsx";
import { isArmed, sinceText, useArming } from "./arming.ts";
import { texts } from "./texts.ts";
import "./watching.css";

addTexts(texts);

export function ArmedStrip() {
  const { loaded, arm } = useArming();
  const found = loaded.value.value;
  const first = found?.cameras[0];
  if (!found || !first) return null;
  const all = found.cameras.length;
  const armed = found.cameras.filter(isArmed).length;
  const isOn = armed === all;
  const whom = all === 1 ? first.camera : null;
  const canSwitch = may("arm") && (all === 1 || found.may_all);
  const said = new Set(found.cameras.map(sinceText));
  return (
    <div class="armed-strip">
      <a class="armed-pill" data-armed={armed > 0 ? "" : undefined} href="/health">
        <Icon name={armed > 0 ? "armed" : "disarmed"} size={18} />
        {isOn || armed === 0
          ? t(isOn ? "watching.armed" : "watching.disarmed")
          : t("watching.some", { n: number(armed), all: number(all) })}
      </a>
      {said.size === 1 && <span class="muted small">{sinceText(first)}</span>}
      {canSwitch && (
        <Button small onClick={() => void arm(whom, !isOn)}>
          {all === 1
            ? t(isOn ? "watching.disarm" : "watching.arm")
            : t(isOn ? "watching.disarm_all" : "watching.arm_all")}
        </Button>
      )}
    </div>
  );
}
