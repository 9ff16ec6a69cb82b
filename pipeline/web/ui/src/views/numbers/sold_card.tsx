/** Conversion: what the till sold against who came in. */

import type { components } from "../../api/schema.d.ts";
import { number, t } from "../../app/language.ts";
import { Chart } from "../../parts/chart.tsx";
import { Card } from "../../parts/page.tsx";
import { closedSpans, rateOnGrid, type Span, stepsOf, unknownOf } from "./lines.ts";
import { ENOUGH, shareText } from "./words.ts";

type Answer = components["schemas"]["NumbersAnswer"];
type Sold = components["schemas"]["SiteSold"];

interface SoldCardProps {
  answer: Answer;
  sold: Sold;
  zone: string;
  period: string;
  onSpan: (span: Span) => void;
}

export function SoldCard({ answer, sold, zone, period, onSpan }: SoldCardProps) {
  const title =
    answer.sold.length > 1 ? `${t("numbers.sold")} · ${sold.site}` : t("numbers.sold");
  if (sold.problem !== null) {
    return (
      <Card title={title}>
        <p role="status">{t("numbers.sold.problem", { reason: sold.problem })}</p>
      </Card>
    );
  }
  const steps = stepsOf(answer);
  const isPartly = sold.total_known < ENOUGH;
  return (
    <Card title={title}>
      <dl class="totals">
        <div>
          <dt>{t("numbers.sold.share")}</dt>
          <dd class="total">
            {sold.total_conversion === null ? "–" : shareText(sold.total_conversion)}
          </dd>
          <dd class={isPartly ? "known known-partly" : "known"}>
            {t("share.known_open", { percent: shareText(sold.total_known) })}
          </dd>
        </div>
        <div>
          <dt>{t("numbers.sold.transactions")}</dt>
          <dd class="total">
            {sold.total_transactions === null ? "–" : number(sold.total_transactions)}
          </dd>
        </div>
        {sold.total_amount !== null && (
          <div>
            <dt>{t("numbers.sold.amount")}</dt>
            <dd class="total">{number(sold.total_amount, 2)}</dd>
          </div>
        )}
      </dl>
      <Chart
        caption={`${t("numbers.sold.of")}, ${sold.site}, ${period}`}
        times={steps.map((step) => step.since)}
        series={[
          {
            label: t("numbers.sold.of"),
            values: rateOnGrid(answer, sold.site, sold.conversion),
            kind: "line" as const,
          },
        ]}
        bucketS={steps[0] ? steps[0].until - steps[0].since : undefined}
        unknown={unknownOf(answer, sold.site, sold.known, ENOUGH)}
        closed={closedSpans(answer)}
        timezone={zone}
        digits={1}
        onSpan={onSpan}
      />
      <ul class="notes">
        <li>{t("numbers.sold.note", { doors: sold.doors.join(", ") })}</li>
        {sold.total_transactions === null && <li>{t("numbers.sold.reach")}</li>}
      </ul>
    </Card>
  );
}
