/** What was counted by hand so far, here and at the command line. */

import { get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { percent, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { timezone } from "../../app/session.ts";
import { date, moment } from "../../app/times.ts";
import { Whichever } from "../../parts/states.tsx";
import { Table } from "../../parts/table.tsx";

type DoneCount = components["schemas"]["DoneCount"];

export function Earlier() {
  const counts = useLoaded<DoneCount[]>((signal) => get("/audits", {}, { signal }));
  return (
    <Whichever of={counts}>
      {(found) =>
        found.length === 0 ? (
          <p class="muted">{t("count.earlier.none")}</p>
        ) : (
          <Table
            stacks
            caption={t("count.earlier")}
            rows={found}
            keyOf={(one) => one.id}
            columns={[
              {
                key: "of",
                title: t("count.of"),
                cell: (one) => (
                  <b>
                    {one.camera}/{one.rule}
                  </b>
                ),
              },
              {
                key: "accuracy",
                title: t("count.accuracy"),
                cell: (one) => accuracyText(one),
              },
              {
                key: "when",
                title: t("count.when"),
                cell: (one) => date(one.judged_at, timezone(one.camera)),
              },
              { key: "by", title: t("count.by"), cell: (one) => one.by || "–" },
              {
                key: "span",
                title: t("count.span"),
                cell: (one) =>
                  `${moment(one.since, timezone(one.camera))} – ${moment(one.until, timezone(one.camera))}`,
              },
              { key: "clips", title: t("count.clips"), cell: (one) => one.figures.judged },
            ]}
          />
        )
      }
    </Whichever>
  );
}

function accuracyText(count: DoneCount): string {
  const accuracy = count.figures.accuracy;
  if (!accuracy) return "–";
  return `${percent(accuracy.value)} (${percent(accuracy.low)} – ${percent(accuracy.high)})`;
}
