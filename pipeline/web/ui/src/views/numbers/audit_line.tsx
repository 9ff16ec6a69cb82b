import type { components } from "../../api/schema.d.ts";
import { percent, t } from "../../app/language.ts";
import { day } from "../../app/times.ts";
import { Icon } from "../../parts/icon.tsx";

type Audit = components["schemas"]["AuditNote"];

/** What the last count by hand has found, in a line: checked 12 Nov: 98 % ± 2. */
export function AuditLine({ audit, timezone }: { audit: Audit; timezone: string }) {
  const when = day(audit.judged_at, timezone);
  const by = audit.by || t("audit.somebody");
  return (
    <span class="audit-line" title={t("audit.of", { judged: audit.judged, by })}>
      <Icon name="check" size={16} />
      {auditText(audit, when)}
    </span>
  );
}

export function auditText(audit: Audit, when: string): string {
  if (audit.accuracy === null || audit.low === null || audit.high === null) {
    return t("audit.unknown", { day: when });
  }
  const margin = Math.max(audit.accuracy - audit.low, audit.high - audit.accuracy);
  const points = Math.max(1, Math.round(100 * margin));
  return t("audit.checked", { day: when, value: percent(audit.accuracy), margin: points });
}
