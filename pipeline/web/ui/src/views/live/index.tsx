import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function Live() {
  return (
    <Page title={t("live.title")}>
      <Empty icon="live" title={t("part.coming")} />
    </Page>
  );
}
