/** The rules and tasks of the camera, as forms that are made from the file's schema. */

import { useSignal } from "@preact/signals";
import { t } from "../../app/language.ts";
import { Button, IconButton } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Checkbox, SelectField, TextField } from "../../parts/field.tsx";
import type { FormField, Forms } from "./api.ts";
import { Histogram } from "./histogram.tsx";
import { isBySeconds, limitsOf } from "./limits.ts";
import { LimitMarks } from "./limits.tsx";
import {
  answersOf,
  fittingTasks,
  isMissing,
  kindOf,
  newRule,
  newTask,
  ownSettings,
  typedOf,
  valueOf,
  wordsOf,
} from "./forms.ts";
import { type Draft, freeName, type Json, type Settings, withoutRule, withTaskRenamed } from "./model.ts";
import type { EditorState } from "./store.ts";

type Span = { since: number; until: number } | undefined;

export function Rules({ state, forms, span }: { state: EditorState; forms: Forms; span: Span }) {
  const open = useSignal<{ part: "rules" | "tasks"; name: string } | null>(null);
  const draft = state.draft.value;
  const add = (part: "rules" | "tasks") => {
    const rule = forms.rules.find((one) => fittingTasks(one, forms, draft).length) ?? forms.rules[0];
    const form = part === "rules" ? rule : forms.tasks[0];
    if (!form) return;
    const name = freeName(part === "rules" ? "rule" : "task", draft[part]);
    const settings = part === "rules" ? newRule(form, forms, draft) : newTask(form, "person");
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
  const kind = kindOf(forms, settings);
  return kind ? `${kind}: ${String(settings[kind])}` : "";
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
      : (kindOf(forms, settings) ?? "detect");
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
      Object.entries(draft.rules).map(([one, value]) => [one === name ? goal : one, value]),
    );
    state.change(
      part === "tasks" ? withTaskRenamed(draft, name, goal) : { ...draft, rules: renamed },
    );
    onName(goal);
  };
  const isCommon = (field: FormField) =>
    field.required ||
    field.key in settings ||
    field.key === "every" ||
    ["line", "zone"].includes(field.kind);
  const tasks = form && part === "rules" ? fittingTasks(form, forms, draft) : [];
  const common = form?.fields.filter(isCommon) ?? [];
  const rest = form?.fields.filter((field) => !isCommon(field)) ?? [];
  const show = (field: FormField) => (
    <Setting
      key={field.key}
      field={field}
      value={settings[field.key]}
      state={state}
      tasks={field.key === "of" ? tasks : undefined}
      answers={answersOf(draft.tasks[String(settings["of"])])}
      problem={isMissing(field, settings) ? needed(field, draft, tasks) : null}
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
            const own = ownSettings(form, settings);
            put(
              part === "rules"
                ? newRule(other, forms, draft, own)
                : newTask(other, settings[kind], own),
            );
          }}
        />
        {common.map(show)}
        {part === "rules" &&
          limitsOf(kind, settings).map((key) => (
            <LimitMarks
              key={key}
              state={state}
              rule={name}
              field={key}
              span={span}
              onLimit={(value) => set(key, value)}
            />
          ))}
        {part === "rules" && isBySeconds(kind, settings) && (
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

/** What is said of a field that must be filled in. */
function needed({ kind }: FormField, draft: Draft, tasks: readonly string[]): string {
  const names = { line: draft.lines, zone: draft.zones, task: draft.tasks }[kind as string];
  if (names && Object.keys(names).length === 0) return t(`edit.none_${kind as "line"}`);
  return kind === "task" && tasks.length === 0 ? t("edit.no_task_fits") : t("edit.needed");
}

function Setting({
  field,
  value,
  state,
  tasks,
  answers = null,
  problem = null,
  onValue,
}: {
  field: FormField;
  value: Json | undefined;
  state: EditorState;
  /** Those that can be chosen; all by default. */
  tasks?: readonly string[];
  /** Those that the rule's task can give; null where it can say anything. */
  answers?: readonly string[] | null;
  problem?: string | null;
  onValue: (value: Json | undefined) => void;
}) {
  const label = field.key.replaceAll("_", " ");
  const hint = field.description;
  const draft = state.draft.value;
  const names = {
    task: tasks ?? Object.keys(draft.tasks),
    line: Object.keys(draft.lines),
    zone: Object.keys(draft.zones),
    engine: state.editable.value.engines,
    choice: field.choices,
  }[field.kind as string];
  if (names) {
    const isOpen = !field.required || problem !== null || field.instead?.length;
    const none = isOpen ? [{ value: "", label: withDefault(field) }] : [];
    const all = value === undefined || names.includes(String(value)) ? names : [...names, String(value)];
    return (
      <SelectField
        label={label}
        hint={hint}
        problem={problem}
        value={value === undefined ? "" : String(value)}
        options={[...none, ...all.map((one) => ({ value: one, label: one }))]}
        onValue={(one) => onValue(one === "" ? undefined : one)}
      />
    );
  }
  if (field.kind === "file") {
    return <InTheFile field={field} label={label} value={value} />;
  }
  if (field.kind === "answers" && answers) {
    const chosen = wordsOf(value);
    const all = [...answers, ...chosen.filter((one) => !answers.includes(one))];
    return (
      <fieldset class="edit-fields">
        <legend>{label}</legend>
        <p class="field-hint">{hint}</p>
        {all.map((one) => (
          <Checkbox
            key={one}
            label={one}
            checked={chosen.includes(one)}
            onChecked={(isChosen) => {
              const now = all.filter((other) => (other === one ? isChosen : chosen.includes(other)));
              onValue(now.length > 1 ? now : now[0]);
            }}
          />
        ))}
        {problem && (
          <p class="field-problem" role="alert">
            {problem}
          </p>
        )}
      </fieldset>
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
  return <Typed field={field} label={label} value={value} problem={problem} onValue={onValue} />;
}

/** What is set in the file by hand; it is shown, and stays as it is. */
function InTheFile({
  field,
  label,
  value,
}: {
  field: FormField;
  label: string;
  value: Json | undefined;
}) {
  return (
    <div class="field">
      <span class="edit-label">{label}</span>
      {value !== undefined && <code class="edit-written">{JSON.stringify(value)}</code>}
      <p class="field-hint">
        {field.description} <em>{t(value === undefined ? "edit.by_hand" : "edit.by_hand_kept")}</em>
      </p>
    </div>
  );
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
  problem,
  onValue,
}: {
  field: FormField;
  label: string;
  value: Json | undefined;
  problem: string | null;
  onValue: (value: Json | undefined) => void;
}) {
  const shown = typedOf(field, value);
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
      hint={[field.description, exampleOf(field)].filter(Boolean).join(" ")}
      problem={problem}
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

/** How lists are typed. */
function exampleOf(field: FormField): string {
  if (field.kind === "points") return t("edit.type_points");
  if (["numbers", "texts", "answers"].includes(field.kind)) return t("edit.type_list");
  return "";
}
