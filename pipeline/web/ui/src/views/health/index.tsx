import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function Health() {
  return (
    <Page title={t("health.title")}>
      <Empty icon="health" title={t("part.coming")} />
    </Page>
  );
}
