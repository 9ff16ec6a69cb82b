/** Fields of forms, each with its label, a hint and what is wrong with it. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface About {
  label: string;
  hint?: string;
  /** What is wrong; null if nothing is. */
  problem?: string | null;
}

function Field({
  label,
  hint,
  problem,
  id,
  children,
}: About & { id: string; children: ComponentChildren }) {
  return (
    <div class="field" data-wrong={problem ? "" : undefined}>
      <label for={id}>{label}</label>
      {children}
      {hint && (
        <p class="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {problem && (
        <p class="field-problem" id={`${id}-problem`} role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

function described(id: string, { hint, problem }: About) {
  const by = [hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ");
  return { "aria-describedby": by || undefined, "aria-invalid": problem ? true : undefined };
}

/** What fields hand on to the element. */
interface Rest {
  name?: string;
  placeholder?: string;
  autocomplete?: string;
  required?: boolean;
  disabled?: boolean;
  readOnly?: boolean;
  autoFocus?: boolean;
  spellcheck?: boolean;
  minLength?: number;
  maxLength?: number;
  onBlur?: () => void;
  onKeyDown?: (event: KeyboardEvent) => void;
}

interface InputRest extends Rest {
  type?: InputType;
  min?: number | string;
  max?: number | string;
  step?: number | string;
  inputMode?: "text" | "numeric" | "decimal" | "search" | "email" | "url";
  list?: string;
}

type InputType =
  | "text"
  | "password"
  | "number"
  | "search"
  | "email"
  | "url"
  | "date"
  | "time"
  | "datetime-local";

export function TextField({
  label,
  hint,
  problem,
  value,
  onValue,
  ...rest
}: About & { value: string; onValue: (value: string) => void } & InputRest) {
  const id = useId();
  const about = { label, hint, problem };
  return (
    <Field {...about} id={id}>
      <input
        type="text"
        {...(rest as object)}
        {...described(id, about)}
        id={id}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
    </Field>
  );
}

export function TextArea({
  label,
  hint,
  problem,
  value,
  onValue,
  ...rest
}: About & { value: string; onValue: (value: string) => void } & Rest & { rows?: number }) {
  const id = useId();
  const about = { label, hint, problem };
  return (
    <Field {...about} id={id}>
      <textarea
        {...rest}
        {...described(id, about)}
        id={id}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
    </Field>
  );
}

export interface Option<T extends string> {
  value: T;
  label: string;
}

export function SelectField<T extends string>({
  label,
  hint,
  problem,
  value,
  options,
  onValue,
  ...rest
}: About & {
  value: T;
  options: readonly Option<T>[];
  onValue: (value: T) => void;
} & Pick<Rest, "name" | "required" | "disabled" | "onBlur">) {
  const id = useId();
  const about = { label, hint, problem };
  return (
    <Field {...about} id={id}>
      <select
        {...rest}
        {...described(id, about)}
        id={id}
        value={value}
        onChange={(event) => onValue(event.currentTarget.value as T)}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    </Field>
  );
}

export function Checkbox({
  label,
  hint,
  checked,
  onChecked,
  disabled,
}: {
  label: string;
  hint?: string;
  checked: boolean;
  onChecked: (checked: boolean) => void;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <div class="checkbox">
      <input
        type="checkbox"
        id={id}
        checked={checked}
        disabled={disabled}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onChange={(event) => onChecked(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {hint && (
        <p class="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

/** One of few, all of them seen. */
export function Choice<T extends string>({
  label,
  value,
  options,
  onValue,
  hideLabel,
}: {
  label: string;
  value: T | null;
  options: readonly Option<T>[];
  onValue: (value: T) => void;
  hideLabel?: boolean;
}) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class={hideLabel ? "unseen" : undefined}>{label}</legend>
      <div class="choice-row">
        {options.map((option) => (
          <label key={option.value}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={option.value === value}
              onChange={() => onValue(option.value)}
            />
            <span>{option.label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
