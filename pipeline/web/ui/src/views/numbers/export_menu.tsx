/** What is shown, as a file. */

import { useSignal } from "@preact/signals";
import { address } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { Button, ButtonLink } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { kindOf, periodName } from "./days.ts";
import { nameOf } from "./lines.ts";

type Answer = components["schemas"]["NumbersAnswer"];

const TABLES = ["csv", "parquet", "jsonl"] as const;
const REPORTS = ["pdf", "html"] as const;

export function ExportMenu({ answer }: { answer: Answer }) {
  const isOpen = useSignal(false);
  const close = () => {
    isOpen.value = false;
  };
  return (
    <>
      <Button small icon="download" onClick={() => (isOpen.value = true)}>
        {t("numbers.export")}
      </Button>
      {isOpen.value && (
        <Dialog title={t("numbers.export")} onClose={close}>
          <p class="muted">{t("numbers.export_text")}</p>
          <ul class="exports">
            {TABLES.map((form) => (
              <Way key={form} form={form} lacks={answer.missing_formats[form]} href={tableAddress(answer, form)} />
            ))}
            {REPORTS.map((form) => (
              <Way
                key={form}
                form={form}
                lacks={answer.missing_formats[form]}
                href={reportAddress(answer, form)}
              />
            ))}
            <li>
              <Button
                onClick={() => {
                  close();
                  requestAnimationFrame(() => print());
                }}
              >
                {t("numbers.export.print")}
              </Button>
            </li>
          </ul>
        </Dialog>
      )}
    </>
  );
}

function Way({ form, lacks, href }: { form: string; lacks?: string; href: string | null }) {
  const name = t(`numbers.export.${form}`);
  if (lacks) {
    return (
      <li class="muted">
        {name}: {t("numbers.export.lacks", { package: lacks })}
      </li>
    );
  }
  if (!href) {
    return (
      <li class="muted">
        {name}: {t("numbers.export.whole")}
      </li>
    );
  }
  return (
    <li>
      <ButtonLink icon="download" href={href} download>
        {name}
      </ButtonLink>
    </li>
  );
}

function tableAddress(answer: Answer, form: string): string {
  const time =
    answer.first && answer.last
      ? { first: answer.first, last: answer.last }
      : { since: answer.since, until: answer.until };
  return address("/numbers/file", {
    ...time,
    step: answer.step,
    rule: answer.series.map(nameOf),
    format: form,
    before: answer.before !== null,
  });
}

function reportAddress(answer: Answer, form: string): string | null {
  if (!answer.first || !answer.last) return null;
  const kind = kindOf({ first: answer.first, last: answer.last });
  if (!kind) return null;
  return address("/reports/file", { kind, name: periodName(kind, answer.first), format: form });
}
