import { addTexts, t } from "../../app/language.ts";
import { query, setQuery } from "../../app/router.ts";
import { Page } from "../../parts/page.tsx";
import { Tabs } from "../../parts/tabs.tsx";
import { SharedLinks } from "../sharing/links.tsx";
import "./admin.css";
import { Journal } from "./journal.tsx";
import { Sessions } from "./sessions.tsx";
import { texts } from "./texts.ts";
import { Tokens } from "./tokens.tsx";
import { Users } from "./users.tsx";

addTexts(texts);

const TABS = ["users", "tokens", "sessions", "links", "journal"] as const;
type AdminTab = (typeof TABS)[number];

export default function Admin() {
  const asked = query.value.get("tab");
  const tab: AdminTab = TABS.find((one) => one === asked) ?? "users";
  return (
    <Page title={t("admin.title")}>
      <Tabs
        label={t("admin.title")}
        tabs={TABS.map((value) => ({ value, label: t(`admin.${value}`) }))}
        value={tab}
        onValue={(value) => setQuery({ tab: value === "users" ? null : value })}
      >
        {tab === "users" && <Users />}
        {tab === "tokens" && <Tokens />}
        {tab === "sessions" && <Sessions />}
        {tab === "links" && <SharedLinks all />}
        {tab === "journal" && <Journal />}
      </Tabs>
    </Page>
  );
}
