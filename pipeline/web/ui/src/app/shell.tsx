/** What is around every view: navigation, the bar that says when the server is gone, messages. */

import { useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ButtonLink } from "../parts/button.tsx";
import { Page } from "../parts/page.tsx";
import { Empty, Failed, Loading } from "../parts/states.tsx";
import { Toasts } from "../parts/toast.tsx";
import { isConnected } from "./connection.ts";
import { loadAnew } from "./installed.ts";
import { KeyHelp } from "./key_help.tsx";
import { language, t } from "./language.ts";
import { Navigation } from "./navigation.tsx";
import { OfflineBar } from "./offline_bar.tsx";
import { path, query } from "./router.ts";
import { isOpenView, readSite, site, siteFailure } from "./session.ts";
import { placeOf, PLACES, viewOf } from "./views.ts";

export function Shell() {
  useSignalEffect(() => {
    document.documentElement.lang = language.value;
  });
  const isBare = isOpenView.value || query.value.get("kiosk") === "1";
  return (
    <div class={isBare ? "shell shell-bare" : "shell"}>
      <a class="skip" href="#content">
        {t("app.skip")}
      </a>
      {!isBare && <Navigation />}
      <div class="stage">
        <OfflineBar />
        <main id="content" tabIndex={-1}>
          <Content />
        </main>
      </div>
      <Toasts />
      <KeyHelp />
    </div>
  );
}

function Content() {
  if (isOpenView.value) return <View />;
  if (site.value) return <View />;
  if (siteFailure.value) {
    return (
      <Page title="moonwatch">
        <Failed error={siteFailure.value} again={() => void readSite()} />
      </Page>
    );
  }
  return <Loading />;
}

function View() {
  const found = viewOf(path.value);
  const shown = useSignal<ComponentType | null>(null);
  const failure = useSignal<unknown>(null);
  const tries = useSignal(0);
  const isFirst = useRef(true);
  const tell = (view: string) => {
    const content = document.getElementById("content");
    if (content) content.dataset["view"] = view;
  };
  const key = found?.path ?? null;
  useEffect(() => {
    let isCurrent = true;
    failure.value = null;
    const wasFirst = isFirst.current;
    isFirst.current = false;
    if (!found) {
      shown.value = null;
      tell("none");
      return;
    }
    found.load().then(
      (module) => {
        if (!isCurrent) return;
        shown.value = module.default;
        tell(found.path);
        // Who uses a screen reader or the keyboard goes on in the new view.
        if (!wasFirst) document.getElementById("content")?.focus({ preventScroll: true });
        if (!wasFirst) scrollTo(0, 0);
      },
      (error: unknown) => {
        if (isCurrent && !(isConnected.value && loadAnew())) failure.value = error;
      },
    );
    return () => {
      isCurrent = false;
    };
  }, [key, tries.value]);
  useSignalEffect(() => {
    const place = placeOf(path.value, PLACES);
    const name = site.value?.name || "moonwatch";
    document.title = place ? `${t(place.title)} – ${name}` : name;
  });
  if (!found) {
    return (
      <Page title={t("app.unknown_page")}>
        <Empty icon="unknown" title={t("app.unknown_page_text")}>
          <ButtonLink href="/">{t("app.to_start")}</ButtonLink>
        </Empty>
      </Page>
    );
  }
  if (failure.value) {
    const again = () => {
      tries.value += 1;
    };
    return (
      <Page title={t("app.view_failed")}>
        <Failed error={failure.value} again={again} />
      </Page>
    );
  }
  const Shown = shown.value;
  return Shown ? <Shown /> : <Loading />;
}

