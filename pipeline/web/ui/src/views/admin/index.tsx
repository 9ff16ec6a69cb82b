import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function Admin() {
  return (
    <Page title={t("admin.title")}>
      <Empty icon="admin" title={t("part.coming")} />
    </Page>
  );
}
