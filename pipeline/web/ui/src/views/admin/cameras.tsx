import { t } from "../../app/language.ts";
import { site } from "../../app/session.ts";
import { Checkbox, Choice } from "../../parts/field.tsx";

/** All cameras, or some of them; null is all, also those of the future. */
export function CameraChoice({
  value,
  onValue,
}: {
  value: readonly string[] | null;
  onValue: (value: string[] | null) => void;
}) {
  const known = site.value?.cameras.map((camera) => camera.name) ?? [];
  const shown = [...new Set([...known, ...(value ?? [])])];
  return (
    <>
      <Choice
        label={t("admin.cameras")}
        value={value === null ? "all" : "some"}
        options={[
          { value: "all", label: t("admin.cameras.all") },
          { value: "some", label: t("admin.cameras.some") },
        ]}
        onValue={(chosen) => onValue(chosen === "all" ? null : [])}
      />
      {value !== null && (
        <div class="admin-cameras">
          {shown.map((camera) => (
            <Checkbox
              key={camera}
              label={camera}
              checked={value.includes(camera)}
              onChecked={(checked) =>
                onValue(checked ? [...value, camera] : value.filter((one) => one !== camera))
              }
            />
          ))}
        </div>
      )}
    </>
  );
}

/** Such as "all" or "door, till". */
export function camerasInWords(cameras: readonly string[] | null): string {
  if (cameras === null) return t("admin.cameras.all");
  return cameras.join(", ") || t("admin.cameras.none");
}
