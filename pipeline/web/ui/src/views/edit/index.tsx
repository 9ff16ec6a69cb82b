import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function Edit() {
  return (
    <Page title={t("edit.title")}>
      <Empty icon="edit" title={t("part.coming")} />
    </Page>
  );
}
