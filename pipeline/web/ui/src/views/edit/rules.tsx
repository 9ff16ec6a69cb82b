/** The rules and tasks of the camera, as forms that are made from the file's schema. */

import { useSignal } from "@preact/signals";
import { t } from "../../app/language.ts";
import { Button, IconButton } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Checkbox, SelectField, TextField } from "../../parts/field.tsx";
import type { Form, FormField, Forms } from "./api.ts";
import { Histogram } from "./histogram.tsx";
import { type Draft, freeName, type Json, type Settings, withoutRule } from "./model.ts";
import type { EditorState } from "./store.ts";

type Span = { since: number; until: number } | undefined;

export function Rules({ state, forms, span }: { state: EditorState; forms: Forms; span: Span }) {
  const open = useSignal<{ part: "rules" | "tasks"; name: string } | null>(null);
  const draft = state.draft.value;
  const add = (part: "rules" | "tasks") => {
    const form = part === "rules" ? forms.rules[0] : forms.tasks[0];
    if (!form) return;
    const name = freeName(part === "rules" ? "rule" : "task", draft[part]);
    const settings = part === "rules" ? newRule(form, draft) : { [form.type]: "person" };
    state.change({ ...draft, [part]: { ...draft[part], [name]: settings } });
    open.value = { part, name };
  };
  return (
    <section class="edit-panel">
      {(["rules", "tasks"] as const).map((part) => (
        <div key={part}>
          <div class="edit-head">
            <h2>{t(`edit.${part}`)}</h2>
            <Button small icon="plus" onClick={() => add(part)}>
              {t(`edit.add_${part}`)}
            </Button>
          </div>
          <ul class="edit-list">
            {Object.entries(draft[part]).map(([name, settings]) => (
              <li key={name}>
                <button
                  type="button"
                  class="edit-item"
                  onClick={() => {
                    open.value = { part, name };
                  }}
                >
                  <span>{name}</span>
                  <span class="edit-muted">{about(part, settings, forms)}</span>
                </button>
                <IconButton
                  icon="trash"
                  label={t("edit.remove", { name })}
                  onClick={() =>
                    state.change(
                      part === "rules"
                        ? withoutRule(draft, name)
                        : {
                            ...draft,
                            tasks: Object.fromEntries(
                              Object.entries(draft.tasks).filter(([one]) => one !== name),
                            ),
                          },
                    )
                  }
                />
              </li>
            ))}
          </ul>
        </div>
      ))}
      {open.value && draft[open.value.part][open.value.name] && (
        <SettingsDialog
          key={`${open.value.part} ${open.value.name}`}
          state={state}
          forms={forms}
          part={open.value.part}
          name={open.value.name}
          span={span}
          onName={(name) => {
            if (open.value) open.value = { ...open.value, name };
          }}
          onClose={() => (open.value = null)}
        />
      )}
    </section>
  );
}

function about(part: "rules" | "tasks", settings: Settings, forms: Forms): string {
  if (part === "rules") {
    const place = settings["line"] ?? settings["zone"];
    return [settings["type"], place].filter(Boolean).join(", ");
  }
  const kind = forms.tasks.find((form) => form.type in settings)?.type;
  return kind ? `${kind}: ${String(settings[kind])}` : "";
}

function newRule(form: Form, draft: Draft): Settings {
  const settings: Settings = { type: form.type };
  for (const field of form.fields) {
    if (!field.required) continue;
    const first = {
      task: Object.keys(draft.tasks)[0],
      line: Object.keys(draft.lines)[0],
      zone: Object.keys(draft.zones)[0],
    }[field.kind as string];
    settings[field.key] = first ?? (field.default as Json) ?? "";
  }
  return settings;
}

function SettingsDialog({
  state,
  forms,
  part,
  name,
  span,
  onName,
  onClose,
}: {
  state: EditorState;
  forms: Forms;
  part: "rules" | "tasks";
  name: string;
  span: Span;
  onName: (name: string) => void;
  onClose: () => void;
}) {
  const draft = state.draft.value;
  const settings = draft[part][name] ?? {};
  const list = part === "rules" ? forms.rules : forms.tasks;
  const kind =
    part === "rules"
      ? String(settings["type"])
      : (forms.tasks.find((form) => form.type in settings)?.type ?? "detect");
  const form = list.find((one) => one.type === kind);
  const typed = useSignal(name);
  const put = (changed: Settings) =>
    state.change({ ...draft, [part]: { ...draft[part], [name]: changed } });
  const set = (key: string, value: Json | undefined) => {
    const rest = Object.fromEntries(Object.entries(settings).filter(([one]) => one !== key));
    put(value === undefined ? rest : key in settings ? { ...settings, [key]: value } : { ...rest, [key]: value });
  };
  const rename = () => {
    const goal = typed.value;
    if (goal === name || !/^[\p{L}\p{N}_-]{1,64}$/u.test(goal) || goal in draft[part]) return;
    const renamed = Object.fromEntries(
      Object.entries(draft[part]).map(([one, value]) => [one === name ? goal : one, value]),
    );
    const rules =
      part === "tasks"
        ? Object.fromEntries(
            Object.entries(draft.rules).map(([rule, one]) => [
              rule,
              one["of"] === name ? { ...one, of: goal } : one,
            ]),
          )
        : draft.rules;
    state.change({ ...draft, rules, [part]: renamed });
    onName(goal);
  };
  const isCommon = (field: FormField) => field.required || field.key in settings;
  const common = form?.fields.filter(isCommon) ?? [];
  const rest = form?.fields.filter((field) => !isCommon(field)) ?? [];
  const show = (field: FormField) => (
    <Setting
      key={field.key}
      field={field}
      value={settings[field.key]}
      state={state}
      onValue={(value) => set(field.key, value)}
    />
  );
  return (
    <Dialog
      title={t(`edit.one_of_${part}`, { name })}
      side
      onClose={onClose}
      actions={
        <Button kind="primary" onClick={onClose}>
          {t("edit.done")}
        </Button>
      }
    >
      <div class="edit-form">
        <TextField
          label={t("edit.name")}
          value={typed.value}
          maxLength={64}
          problem={
            typed.value !== name && typed.value in draft[part] ? t("edit.name_used") : null
          }
          onValue={(value) => (typed.value = value)}
          onBlur={rename}
        />
        <SelectField
          label={t(`edit.type_of_${part}`)}
          value={kind}
          options={list.map((one) => ({ value: one.type, label: one.type.replaceAll("_", " ") }))}
          hint={form?.description}
          onValue={(type) => {
            const other = list.find((one) => one.type === type);
            if (!other) return;
            const kept = Object.fromEntries(
              Object.entries(settings).filter(([key]) =>
                other.fields.some((field) => field.key === key),
              ),
            );
            put(
              part === "rules"
                ? { ...newRule(other, draft), ...kept, type }
                : { ...kept, [type]: settings[kind] ?? "" },
            );
          }}
        />
        {common.map(show)}
        {kind === "dwell" && part === "rules" && (
          <Histogram
            state={state}
            rule={name}
            span={span}
            limit={settings["longer_than"]}
            onLimit={(value) => set("longer_than", value)}
          />
        )}
        <details>
          <summary>{t("edit.more_settings")}</summary>
          <div class="edit-form">{rest.map(show)}</div>
        </details>
      </div>
    </Dialog>
  );
}

function Setting({
  field,
  value,
  state,
  onValue,
}: {
  field: FormField;
  value: Json | undefined;
  state: EditorState;
  onValue: (value: Json | undefined) => void;
}) {
  const label = field.key.replaceAll("_", " ");
  const hint = field.description;
  const draft = state.draft.value;
  const names = {
    task: Object.keys(draft.tasks),
    line: Object.keys(draft.lines),
    zone: Object.keys(draft.zones),
    engine: state.editable.value.engines,
    choice: field.choices,
  }[field.kind as string];
  if (names) {
    const none = field.required ? [] : [{ value: "", label: withDefault(field) }];
    const all = value === undefined || names.includes(String(value)) ? names : [...names, String(value)];
    return (
      <SelectField
        label={label}
        hint={hint}
        value={value === undefined ? "" : String(value)}
        options={[...none, ...all.map((one) => ({ value: one, label: one }))]}
        onValue={(one) => onValue(one === "" ? undefined : one)}
      />
    );
  }
  if (field.kind === "yes/no") {
    const isYes = value === true || value === "yes" || value === "on";
    return (
      <Checkbox
        label={label}
        hint={hint}
        checked={value === undefined ? field.default === true : isYes}
        onChecked={(checked) => onValue(checked === (field.default === true) ? undefined : checked)}
      />
    );
  }
  if (field.kind === "fields") {
    const inner = (typeof value === "object" && value !== null ? value : {}) as Settings;
    return (
      <fieldset class="edit-fields">
        <legend>{label}</legend>
        {field.fields?.map((one) => (
          <Setting
            key={one.key}
            field={one}
            value={inner[one.key]}
            state={state}
            onValue={(given) => {
              const kept = Object.fromEntries(
                Object.entries(inner).filter(([key]) => key !== one.key),
              );
              const all = given === undefined ? kept : { ...inner, [one.key]: given };
              onValue(Object.keys(all).length ? all : undefined);
            }}
          />
        ))}
      </fieldset>
    );
  }
  return <Typed field={field} label={label} value={value} onValue={onValue} />;
}

function withDefault(field: FormField): string {
  return field.default === null || field.default === undefined || field.default === ""
    ? t("edit.left_out")
    : t("edit.default", { value: String(field.default) });
}

/** A field that is typed; it is taken when it is left. */
function Typed({
  field,
  label,
  value,
  onValue,
}: {
  field: FormField;
  label: string;
  value: Json | undefined;
  onValue: (value: Json | undefined) => void;
}) {
  const shown = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  const text = useSignal(shown);
  const seen = useSignal(shown);
  if (seen.value !== shown) {
    seen.value = shown;
    text.value = shown;
  }
  const isNumber = field.kind === "number" || field.kind === "whole";
  const take = () => {
    if (text.value === shown) return;
    onValue(text.value.trim() === "" ? undefined : valueOf(field, text.value.trim()));
  };
  return (
    <TextField
      label={label}
      hint={field.description}
      value={text.value}
      placeholder={field.required ? undefined : withDefault(field)}
      required={field.required}
      inputMode={isNumber ? "decimal" : undefined}
      onValue={(typed) => (text.value = typed)}
      onBlur={take}
      onKeyDown={(event) => {
        if (event.key === "Enter") take();
      }}
    />
  );
}

function valueOf(field: FormField, text: string): Json {
  if (field.kind === "number" || field.kind === "whole") {
    const found = Number(text.replace(",", "."));
    return Number.isFinite(found) ? found : text;
  }
  if (field.kind === "texts" && !text.startsWith("[")) return text.split(",").map((one) => one.trim());
  if (field.kind === "other" || field.kind === "texts") {
    try {
      return JSON.parse(text) as Json;
    } catch {
      return text;
    }
  }
  return text;
}
