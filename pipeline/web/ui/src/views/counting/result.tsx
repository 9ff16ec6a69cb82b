/** What a count has found: the accuracy, its interval, and what that means. */

import type { components } from "../../api/schema.d.ts";
import { number, percent, t } from "../../app/language.ts";
import { Button, ButtonLink } from "../../parts/button.tsx";
import { Card } from "../../parts/page.tsx";

type DoneCount = components["schemas"]["DoneCount"];
type Figure = components["schemas"]["CountFigure"];

export function percents(figure: Figure): { value: string; low: string; high: string } {
  return {
    value: percent(figure.value),
    low: percent(figure.low),
    high: percent(figure.high),
  };
}

export function Result({ of: count, onAnother }: { of: DoneCount; onAnother: () => void }) {
  const { accuracy, precision, recall, counted } = count.figures;
  const true_ = count.figures.true;
  const directions = Object.entries(count.directions);
  return (
    <Card title={`${count.camera}/${count.rule}`}>
      <div role="status">
        {accuracy ? (
          <>
            <p class="count-figure">
              {t("count.result.accuracy", { value: percent(accuracy.value) })}
            </p>
            <p>{t("count.result.interval", percents(accuracy))}</p>
          </>
        ) : (
          <p>{t("count.result.unknown")}</p>
        )}
      </div>
      <ul class="count-found">
        {directions.map(
          ([name, one]) =>
            one.accuracy && <li key={name}>{t(`count.result.of.${name}`, percents(one.accuracy))}</li>,
        )}
        {true_ && (
          <li>
            {t("count.result.counted", {
              counted,
              true: number(true_.value),
              low: number(true_.low),
              high: number(true_.high),
            })}
          </li>
        )}
        {precision && <li>{t("count.result.precision", percents(precision))}</li>}
        {recall && <li>{t("count.result.recall", percents(recall))}</li>}
      </ul>
      <p class="muted">{t("count.result.kept")}</p>
      <div class="row">
        <ButtonLink
          kind="primary"
          href={`/numbers?rules=${encodeURIComponent(`${count.camera}/${count.rule}`)}`}
        >
          {t("count.to_numbers")}
        </ButtonLink>
        <Button onClick={onAnother}>{t("count.another")}</Button>
      </div>
    </Card>
  );
}
