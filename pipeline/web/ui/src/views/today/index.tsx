import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function Today() {
  return (
    <Page title={t("today.title")}>
      <Empty icon="today" title={t("part.coming")} />
    </Page>
  );
}
