/** The capture rate: who came in of those who passed by outside. */

import type { components } from "../../api/schema.d.ts";
import { number, t } from "../../app/language.ts";
import { Chart } from "../../parts/chart.tsx";
import { Card } from "../../parts/page.tsx";
import { closedSpans, rateOnGrid, type Span, stepsOf, unknownOf } from "./lines.ts";
import { ENOUGH, shareText } from "./words.ts";

type Answer = components["schemas"]["NumbersAnswer"];
type Captured = components["schemas"]["SiteCapture"];

interface CaptureCardProps {
  answer: Answer;
  captured: Captured;
  zone: string;
  period: string;
  onSpan: (span: Span) => void;
}

export function CaptureCard({ answer, captured, zone, period, onSpan }: CaptureCardProps) {
  const isOne = answer.captured.length === 1;
  const title = isOne ? t("numbers.capture") : `${t("numbers.capture")} · ${captured.site}`;
  const steps = stepsOf(answer);
  const counts = [
    ["came", captured.total_entered],
    ["passed", captured.total_passed],
  ] as const;
  return (
    <Card title={title}>
      <dl class="totals">
        <div>
          <dt>{t("numbers.capture.share")}</dt>
          <dd class="total">
            {captured.total_rate === null ? "–" : shareText(captured.total_rate)}
          </dd>
          <dd class={captured.total_known < ENOUGH ? "known known-partly" : "known"}>
            {t("share.known_open", { percent: shareText(captured.total_known) })}
          </dd>
        </div>
        {counts.map(([name, total]) => (
          <div key={name}>
            <dt>{t(`numbers.capture.${name}`)}</dt>
            <dd class="total">{total === null ? "–" : number(total)}</dd>
          </div>
        ))}
      </dl>
      {captured.why_no_rate !== null && (
        <p role="status">{t(`numbers.capture.why.${captured.why_no_rate}`)}</p>
      )}
      <Chart
        caption={`${t("numbers.capture.of")}, ${captured.site}, ${period}`}
        times={steps.map((step) => step.since)}
        series={[
          {
            label: t("numbers.capture.of"),
            values: rateOnGrid(answer, captured.site, captured.rate),
            kind: "line" as const,
          },
        ]}
        bucketS={steps[0] ? steps[0].until - steps[0].since : undefined}
        unknown={unknownOf(answer, captured.site, captured.known, ENOUGH)}
        closed={closedSpans(answer)}
        timezone={zone}
        digits={1}
        onSpan={onSpan}
      />
      <ul class="notes">
        <li>
          {t("numbers.capture.note", {
            doors: captured.entered_by.join(", "),
            outside: captured.passed_by.join(", "),
          })}
        </li>
      </ul>
    </Card>
  );
}
