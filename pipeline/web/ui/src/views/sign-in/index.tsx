import { addTexts, t } from "../../app/language.ts";
import { Page } from "../../parts/page.tsx";
import { Empty } from "../../parts/states.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

export default function SignIn() {
  return (
    <Page title={t("sign-in.title")}>
      <Empty icon="user" title={t("part.coming")} />
    </Page>
  );
}
