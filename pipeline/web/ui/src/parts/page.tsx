import type { ComponentChildren } from "preact";

/** A view with its title and, beside it, what can be done or chosen. */
export function Page({
  title,
  actions,
  wide,
  children,
}: {
  title: string;
  actions?: ComponentChildren;
  /** As wide as the screen, for pictures. */
  wide?: boolean;
  children?: ComponentChildren;
}) {
  return (
    <div class={wide ? "page page-wide" : "page"}>
      <div class="page-head">
        <h1>{title}</h1>
        {actions && <div class="page-actions">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

/** A part of a page with a frame. */
export function Card({
  title,
  actions,
  children,
}: {
  title?: string;
  actions?: ComponentChildren;
  children?: ComponentChildren;
}) {
  return (
    <section class="card">
      {(title || actions) && (
        <div class="card-head">
          {title && <h2>{title}</h2>}
          {actions && <div class="page-actions">{actions}</div>}
        </div>
      )}
      {children}
    </section>
  );
}
