/** What a view shows while it has nothing to show. */

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/client.ts";
import { t } from "../app/language.ts";
import { Button } from "./button.tsx";
import { Icon, type IconName } from "./icon.tsx";
import { Said } from "./said.tsx";

const SOON_MS = 250;

/** Appears after a moment, so that what is quick does not flicker. */
export function Loading({ text }: { text?: string }) {
  const [isShown, show] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => show(true), SOON_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="state" role="status" aria-busy="true">
      {isShown && (
        <>
          <span class="spinner" aria-hidden="true" />
          <p>{text ?? t("part.loading")}</p>
        </>
      )}
    </div>
  );
}

export function Empty({
  title,
  text,
  icon = "info",
  children,
}: {
  title?: string;
  text?: string;
  icon?: IconName;
  /** Ways out. */
  children?: ComponentChildren;
}) {
  return (
    <div class="state">
      <Icon name={icon} size={32} />
      <h2>{title ?? t("part.empty")}</h2>
      {text && <p>{text}</p>}
      {children && <div class="state-ways">{children}</div>}
    </div>
  );
}

export function Failed({
  error,
  title,
  again,
}: {
  error: unknown;
  title?: string;
  again?: () => void;
}) {
  return (
    <div class="state state-failed" role="alert">
      <Icon name="warning" size={32} />
      <h2>{title ?? t("part.failed")}</h2>
      <p>
        <Said text={sentenceOf(error)} />
      </p>
      {again && (
        <div class="state-ways">
          <Button icon="refresh" onClick={again}>
            {t("part.retry")}
          </Button>
        </div>
      )}
    </div>
  );
}

/** What is said of an error. */
export function sentenceOf(error: unknown): string {
  if (error instanceof ApiError && error.status === 0) {
    return error.message === "no connection" ? t("part.no_connection") : t("part.no_answer");
  }
  if (error instanceof ApiError) {
    const found = error.detail["problems"];
    const first = Array.isArray(found) ? (found[0] as { path: string; message: string }) : null;
    if (first) return `${error.message}: ${first.path}: ${first.message}`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** One of the three: loading, failed, or what `children` make of the value. */
export function Whichever<T>({
  of,
  children,
}: {
  of: { value: Signal<T | null>; failure: Signal<unknown>; again: () => void };
  children: (value: T) => ComponentChildren;
}) {
  const value = of.value.value;
  if (value !== null) return <>{children(value)}</>;
  if (of.failure.value !== null) return <Failed error={of.failure.value} again={of.again} />;
  return <Loading />;
}
