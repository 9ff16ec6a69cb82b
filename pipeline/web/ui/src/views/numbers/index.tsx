import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function Numbers() {
  return (
    <Page title={t("numbers.title")}>
      <Empty icon="numbers" title={t("part.coming")} />
    </Page>
  );
}
