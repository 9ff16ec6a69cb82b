import { t } from "../../app/language.ts";
import { may, site } from "../../app/session.ts";
import { areKeysOn, bandwidth, languageChoice, theme } from "../../app/settings.ts";
import { Checkbox, Choice } from "../../parts/field.tsx";
import { Card, Page } from "../../parts/page.tsx";
import { SharedLinks } from "../sharing/links.tsx";
import { Account } from "./account.tsx";
import { Push } from "../notifications/card.tsx";

export default function Settings() {
  return (
    <Page title={t("app.settings")}>
      <Card>
        <Choice
          label={t("settings.theme")}
          value={theme.value}
          options={(["system", "light", "dark"] as const).map((value) => ({
            value,
            label: t(`settings.theme.${value}`),
          }))}
          onValue={(value) => {
            theme.value = value;
          }}
        />
        <Choice
          label={t("settings.language")}
          value={languageChoice.value}
          options={[
            { value: "system", label: t("settings.language.system") },
            { value: "en", label: "English" },
            { value: "de", label: "Deutsch" },
          ]}
          onValue={(value) => {
            languageChoice.value = value;
          }}
        />
        <Choice
          label={t("settings.bandwidth")}
          value={bandwidth.value}
          options={(["auto", "low", "still"] as const).map((value) => ({
            value,
            label: t(`settings.bandwidth.${value}`),
          }))}
          onValue={(value) => {
            bandwidth.value = value;
          }}
        />
        <Checkbox
          label={t("settings.keys")}
          hint={t("settings.keys.hint")}
          checked={areKeysOn.value}
          onChecked={(isOn) => {
            areKeysOn.value = isOn;
          }}
        />
        <p class="muted small">{t("settings.kept_here")}</p>
      </Card>
      <Push />
      <Account />
      {may("share") && site.value?.share_days != null && <SharedLinks />}
    </Page>
  );
}
