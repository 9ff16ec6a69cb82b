import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function Events() {
  return (
    <Page title={t("events.title")}>
      <Empty icon="events" title={t("part.coming")} />
    </Page>
  );
}
