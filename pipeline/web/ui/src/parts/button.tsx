import type { ComponentChildren, JSX } from "preact";
import { Icon, type IconName } from "./icon.tsx";

interface Looks {
  /** Primary: the one thing to do here. Danger: what cannot be taken back. */
  kind?: "primary" | "plain" | "quiet" | "danger";
  small?: boolean;
  icon?: IconName;
  children?: ComponentChildren;
}

function classOf({ kind = "plain", small }: Looks): string {
  return `button button-${kind}${small ? " button-small" : ""}`;
}

export function Button({
  kind,
  small,
  icon,
  children,
  ...rest
}: Looks & Omit<JSX.IntrinsicElements["button"], "icon" | "class">) {
  return (
    <button type="button" {...rest} class={classOf({ kind, small })}>
      {icon && <Icon name={icon} size={18} />}
      {children}
    </button>
  );
}

interface LinkRest {
  href: string;
  download?: string | boolean;
  target?: "_blank";
  rel?: string;
  "aria-label"?: string;
  onClick?: (event: MouseEvent) => void;
}

/** A link that looks like a button. */
export function ButtonLink({
  kind,
  small,
  icon,
  children,
  ...rest
}: Looks & LinkRest) {
  return (
    <a {...rest} class={classOf({ kind, small })}>
      {icon && <Icon name={icon} size={18} />}
      {children}
    </a>
  );
}

/** A button that is an icon alone; `label` is what it does, in words. */
export function IconButton({
  icon,
  label,
  ...rest
}: { icon: IconName; label: string } & Omit<JSX.IntrinsicElements["button"], "icon" | "class">) {
  return (
    <button type="button" {...rest} class="icon-button" aria-label={label} title={label}>
      <Icon name={icon} />
    </button>
  );
}
