import { useSignal } from "@preact/signals";
import { get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { query, setQuery } from "../../app/router.ts";
import { timezone } from "../../app/session.ts";
import { date, clockSeconds } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { TextField } from "../../parts/field.tsx";
import { Card } from "../../parts/page.tsx";
import { Empty, sentenceOf, Whichever } from "../../parts/states.tsx";
import { Table } from "../../parts/table.tsx";
import { toast } from "../../parts/toast.tsx";

type PageOfEntries = components["schemas"]["JournalPage"];

/** Who looked at what, and who changed what. */
export function Journal() {
  const who = query.value.get("who") ?? "";
  const words = query.value.get("words") ?? "";
  const older = useSignal<PageOfEntries[]>([]);
  const first = useLoaded(
    (signal) => {
      older.value = [];
      return get<PageOfEntries>("/journal", { who: who || null, words }, { signal });
    },
    [who, words],
  );
  const more = async (before: number) => {
    try {
      const page = await get<PageOfEntries>("/journal", { who: who || null, words, before });
      older.value = [...older.value, page];
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
  };
  return (
    <Card title={t("admin.journal")}>
      <p class="muted">{t("admin.journal.text")}</p>
      <div class="admin-filter">
        <TextField
          label={t("admin.who")}
          value={who}
          maxLength={128}
          spellcheck={false}
          onValue={(value) => setQuery({ who: value || null })}
        />
        <TextField
          label={t("admin.journal.words")}
          type="search"
          value={words}
          maxLength={128}
          onValue={(value) => setQuery({ words: value || null })}
        />
      </div>
      <Whichever of={first}>
        {(page) => {
          const pages = [page, ...older.value];
          const rows = pages.flatMap((one) => one.entries);
          const before = pages[pages.length - 1]?.before ?? null;
          if (rows.length === 0) return <Empty title={t("admin.journal.none")} />;
          return (
            <>
              <Table
                stacks
                caption={t("admin.journal")}
                rows={rows}
                keyOf={(row) => row.position}
                columns={[
                  {
                    key: "at",
                    title: t("admin.journal.at"),
                    cell: (row) =>
                      `${date(row.at, timezone())} ${clockSeconds(row.at, timezone())}`,
                  },
                  { key: "who", title: t("admin.who"), cell: (row) => <b>{row.who}</b> },
                  { key: "action", title: t("admin.journal.action"), cell: (row) => row.action },
                  { key: "subject", title: t("admin.journal.subject"), cell: (row) => row.subject },
                  { key: "detail", title: t("admin.journal.detail"), cell: (row) => row.detail },
                ]}
              />
              {before !== null && (
                <Button onClick={() => void more(before)}>{t("admin.journal.more")}</Button>
              )}
            </>
          );
        }}
      </Whichever>
    </Card>
  );
}
