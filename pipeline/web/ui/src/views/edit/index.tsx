/** The editor of lines, zones, masks and rules, with what each change would have counted. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { get, isAbandoned } from "../../api/client.ts";
import { addTexts, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { go, path, query } from "../../app/router.ts";
import { site } from "../../app/session.ts";
import { moment } from "../../app/times.ts";
import { Button, IconButton } from "../../parts/button.tsx";
import { Checkbox, SelectField, TextField } from "../../parts/field.tsx";
import { Page } from "../../parts/page.tsx";
import { Empty, Loading, sentenceOf, Whichever } from "../../parts/states.tsx";
import { Tabs } from "../../parts/tabs.tsx";
import { type Days, type Forms, heat, picture, trails } from "./api.ts";
import type { Editable } from "./model.ts";
import { withQuestion } from "./question.ts";
import { Rules } from "./rules.tsx";
import { SaveDialog } from "./save.tsx";
import { Shapes } from "./shapes.tsx";
import { flip, remove, Stage } from "./stage.tsx";
import { EditorState } from "./store.ts";
import { texts } from "./texts.ts";
import { WhatIf } from "./what_if.tsx";
import "./edit.css";

addTexts(texts);

export default function Edit() {
  const cameras = site.value?.cameras ?? [];
  const named = decodeURIComponent(path.value.split("/")[2] ?? "");
  const camera = cameras.find((one) => one.name === named) ?? (named ? undefined : cameras[0]);
  const choice = cameras.length > 1 && (
    <SelectField
      label={t("edit.camera")}
      value={camera?.name ?? ""}
      options={cameras.map((one) => ({ value: one.name, label: one.name }))}
      onValue={(name) => go(`/edit/${encodeURIComponent(name)}`)}
    />
  );
  return (
    <Page title={t("edit.title")} wide actions={choice}>
      {!site.value ? (
        <Loading />
      ) : camera ? (
        <OfCamera key={camera.name} camera={camera.name} />
      ) : (
        <Empty
          icon="edit"
          title={t("edit.no_camera", { name: named })}
          text={t("edit.choose_another")}
        />
      )}
    </Page>
  );
}

interface All {
  editable: Editable;
  days: Days;
  forms: Forms;
}

function OfCamera({ camera }: { camera: string }) {
  const all = useLoaded<All>(async (signal) => {
    const [editable, days, forms] = await Promise.all([
      get<Editable>(`/edit/cameras/${encodeURIComponent(camera)}`, {}, { signal }),
      get<Days>("/edit/spans", { camera }, { signal }),
      get<Forms>("/edit/forms", {}, { signal }),
    ]);
    return { editable, days, forms };
  }, [camera]);
  return <Whichever of={all}>{(found) => <Editor all={found} />}</Whichever>;
}

function Editor({ all }: { all: All }) {
  const { days, forms } = all;
  const state = useMemo(() => {
    const made = new EditorState(all.editable);
    const [kind, words] = [query.value.get("kind"), query.value.get("words")];
    if (kind && words) {
      const asked = { kind, words: words.slice(0, 2000), engine: query.value.get("engine") };
      made.change(withQuestion(made.draft.value, forms, asked, all.editable.engines));
    }
    return made;
  }, []);
  const chosenDay = useSignal(days.days[0]?.day ?? "");
  const span = days.days.find((one) => one.day === chosenDay.value) ?? days.days[0];
  const isSaving = useSignal(false);
  const tab = useSignal<"shapes" | "rules">(query.value.get("kind") ? "rules" : "shapes");
  useSignalEffect(() => {
    if (!state.isChanged.value) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  });
  useEffect(() => {
    const keys = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (target.closest("input, textarea, select, dialog")) return;
      const key = event.key.toLowerCase();
      if ((event.ctrlKey || event.metaKey) && key === "z") {
        if (event.shiftKey) state.redo();
        else state.undo();
      } else if ((event.ctrlKey || event.metaKey) && key === "y") state.redo();
      else if (event.ctrlKey || event.metaKey || event.altKey) return;
      else if (key === "f" && state.selected.value?.kind === "line") {
        flip(state, state.selected.value.name);
      } else if (key === "delete" && state.selected.value) remove(state, state.selected.value);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  const { steps, isChanged } = state;
  return (
    <div class="edit">
      <p class="unseen" role="status" aria-live="polite">
        {state.said.value}
      </p>
      <div class="edit-main">
        <div class="edit-bar" role="toolbar" aria-label={t("edit.tools")}>
          <IconButton
            icon="undo"
            label={t("edit.undo")}
            disabled={!steps.value.past.length}
            onClick={() => state.undo()}
          />
          <IconButton
            icon="redo"
            label={t("edit.redo")}
            disabled={!steps.value.future.length}
            onClick={() => state.redo()}
          />
          <Zoom state={state} />
          <span class="edit-space" />
          {isChanged.value && <span class="badge badge-warning">{t("edit.unsaved")}</span>}
          <Button kind="primary" disabled={!isChanged.value} onClick={() => (isSaving.value = true)}>
            {t("edit.save")}
          </Button>
        </div>
        <Stage state={state} />
        <Behind state={state} days={days} span={span} />
      </div>
      <div class="edit-side">
        {all.editable.read_only && <p class="edit-trouble">{all.editable.read_only}</p>}
        <WhatIf state={state} days={days} chosen={chosenDay} />
        <Tabs
          label={t("edit.parts")}
          tabs={[
            { value: "shapes", label: t("edit.shapes") },
            { value: "rules", label: t("edit.rules_and_tasks") },
          ]}
          value={tab.value}
          onValue={(value) => (tab.value = value)}
        >
          {tab.value === "shapes" ? (
            <Shapes state={state} />
          ) : (
            <Rules state={state} forms={forms} span={span} />
          )}
        </Tabs>
      </div>
      {isSaving.value && <SaveDialog state={state} onClose={() => (isSaving.value = false)} />}
    </div>
  );
}

function Zoom({ state }: { state: EditorState }) {
  const { x, y, zoom } = state.view.value;
  const by = (factor: number) => state.zoomAt([x + 0.5 / zoom, y + 0.5 / zoom], factor);
  return (
    <span class="edit-row">
      <Button small aria-label={t("edit.smaller")} disabled={zoom <= 1} onClick={() => by(1 / 1.5)}>
        −
      </Button>
      <span class="edit-zoom" aria-live="polite">
        {zoom.toFixed(1)}×
      </span>
      <Button small aria-label={t("edit.larger")} disabled={zoom >= 8} onClick={() => by(1.5)}>
        +
      </Button>
    </span>
  );
}

/** Chooses what is drawn on. */
function Behind({
  state,
  days,
  span,
}: {
  state: EditorState;
  days: Days;
  span: Days["days"][number] | undefined;
}) {
  const at = useSignal<number | null>(null);
  const time = useSignal("");
  const failure = useSignal<string | null>(null);
  const isLoading = useSignal(true);
  const showsTrails = useSignal(true);
  const showsHeat = useSignal(false);
  useSignalEffect(() => {
    const wanted = at.value;
    const controller = new AbortController();
    isLoading.value = true;
    failure.value = null;
    picture(state.camera, wanted, controller.signal).then(
      (found) => {
        state.picture.value = found;
        isLoading.value = false;
      },
      (error: unknown) => {
        if (isAbandoned(error) || controller.signal.aborted) return;
        failure.value = sentenceOf(error);
        isLoading.value = false;
      },
    );
    return () => controller.abort();
  });
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    state.trails.value = [];
    state.heat.value = null;
    if (!span) return;
    const quietly = (error: unknown) => {
      if (!isAbandoned(error)) failure.value = sentenceOf(error);
    };
    if (showsTrails.value) {
      trails(state.camera, span.since, span.until, signal).then(
        (found) => (state.trails.value = found.trails),
        quietly,
      );
    }
    if (showsHeat.value) {
      heat(state.camera, span.since, span.until, signal).then(
        (found) => (state.heat.value = found),
        quietly,
      );
    }
    return () => controller.abort();
  }, [span?.day, showsTrails.value, showsHeat.value]);
  const found = state.picture.value;
  const take = () => {
    if (!span || !/^\d\d:\d\d/.test(time.value)) return;
    const [hours = 0, minutes = 0, seconds = 0] = time.value.split(":").map(Number);
    const wanted = hours * 3600 + minutes * 60 + seconds;
    const parts = new Intl.DateTimeFormat("en-GB", {
      timeZone: days.timezone,
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
    }).format(span.since * 1000);
    const [h = 0, m = 0, s = 0] = parts.split(":").map(Number);
    at.value = span.since + ((wanted - (h * 3600 + m * 60 + s) + 86400) % 86400);
  };
  return (
    <div class="edit-behind">
      <p class="edit-muted" role="status">
        {failure.value ??
          (found
            ? [t("edit.picture_of", { when: moment(found.at, days.timezone) }), found.remark]
                .filter(Boolean)
                .join("; ")
            : isLoading.value
              ? t("edit.fetching_picture")
              : "")}
      </p>
      <div class="edit-row">
        <Checkbox
          label={t("edit.show_trails")}
          checked={showsTrails.value}
          onChecked={(checked) => (showsTrails.value = checked)}
        />
        <Checkbox
          label={t("edit.show_heat")}
          checked={showsHeat.value}
          onChecked={(checked) => (showsHeat.value = checked)}
        />
        <span class="edit-space" />
        <TextField
          label={t("edit.time_of_day")}
          type="time"
          step={1}
          value={time.value}
          onValue={(value) => (time.value = value)}
        />
        <Button small disabled={!span || !time.value} onClick={take}>
          {t("edit.show_picture")}
        </Button>
        <Button
          small
          icon="refresh"
          onClick={() => {
            at.value = at.value === null ? at.value : null;
          }}
          disabled={at.value === null}
        >
          {t("edit.newest_picture")}
        </Button>
      </div>
    </div>
  );
}
