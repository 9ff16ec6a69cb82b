/** The way between views: at the side of wide screens, at the bottom of phones. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Icon } from "../parts/icon.tsx";
import { t } from "./language.ts";
import { path } from "./router.ts";
import { may, site } from "./session.ts";
import { placeOf, PLACES, type ViewPlace } from "./views.ts";

const IN_BAR = 4;

export function Navigation() {
  const isOpen = useSignal(false);
  useEffect(() => {
    isOpen.value = false;
  }, [path.value]);
  const places = PLACES.filter((place) => may(place.permission));
  const here = placeOf(path.value, PLACES);
  const isBeyond = here !== null && places.indexOf(here) >= IN_BAR;
  return (
    <header class="nav">
      <a class="nav-home" href="/">
        <img src="/icon.svg" alt="" width="28" height="28" />
        <span>{site.value?.name || "moonwatch"}</span>
      </a>
      <nav aria-label={t("nav.label")}>
        <ul class="nav-list" data-open={isOpen.value ? "" : undefined} id="nav-list">
          {places.map((place, index) => (
            <li key={place.path} class={index < IN_BAR ? undefined : "nav-beyond"}>
              <NavLink place={place} isHere={place === here} />
            </li>
          ))}
          <li class="nav-beyond nav-last">
            <a
              class="nav-link"
              href="/settings"
              aria-current={path.value === "/settings" ? "page" : undefined}
            >
              <Icon name="settings" />
              <span>{t("app.settings")}</span>
            </a>
          </li>
          <li class="nav-more">
            <button
              type="button"
              class="nav-link"
              aria-expanded={isOpen.value}
              aria-controls="nav-list"
              data-here={isBeyond || path.value === "/settings" ? "" : undefined}
              onClick={() => {
                isOpen.value = !isOpen.value;
              }}
            >
              <Icon name="more" />
              <span>{t("nav.more")}</span>
            </button>
          </li>
        </ul>
      </nav>
    </header>
  );
}

function NavLink({ place, isHere }: { place: ViewPlace; isHere: boolean }) {
  return (
    <a class="nav-link" href={place.path} aria-current={isHere ? "page" : undefined}>
      <Icon name={place.icon} />
      <span>{t(place.title)}</span>
    </a>
  );
}
