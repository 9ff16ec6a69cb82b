/** The edit before it is saved: what changes in the file, what begins anew; and what came of it. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, get, isAbandoned, post } from "../../api/client.ts";
import { t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Loading, sentenceOf } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import type { Preview, Problem, Reply, Saved } from "./api.ts";
import { changedParts, type Editable } from "./model.ts";
import type { EditorState } from "./store.ts";

const ASK_AGAIN_MS = 1500;
const ASK_TIMES = 15;
const SAVE_MS = 40_000;

function editOf(state: EditorState) {
  const { draft, original, editable } = state;
  return {
    ...changedParts(draft.value, original.value),
    camera: state.camera,
    base: editable.value.base,
  };
}

export function SaveDialog({ state, onClose }: { state: EditorState; onClose: () => void }) {
  const preview = useLoaded((signal) => post<Preview>("/edit/preview", editOf(state), { signal }));
  const saved = useSignal<Saved | null>(null);
  const failure = useSignal<unknown>(null);
  const isSaving = useSignal(false);
  const found = preview.value.value;
  const save = async () => {
    isSaving.value = true;
    failure.value = null;
    try {
      const answer = await post<Saved>("/edit/save", editOf(state), { deadlineMs: SAVE_MS });
      saved.value = answer;
      toast({ text: t("edit.is_saved"), tone: "good" });
      state.load(await get<Editable>(`/edit/cameras/${encodeURIComponent(state.camera)}`));
    } catch (error) {
      failure.value = error;
    } finally {
      isSaving.value = false;
    }
  };
  const reload = async () => {
    state.editable.value = await get<Editable>(`/edit/cameras/${encodeURIComponent(state.camera)}`);
    failure.value = null;
    preview.again();
  };
  const trouble = failure.value ?? preview.failure.value;
  const isStale = trouble instanceof ApiError && trouble.status === 409;
  const cannot = !found || found.problems.length > 0 || found.read_only !== null;
  return (
    <Dialog
      title={t(saved.value ? "edit.saved_title" : "edit.save_title")}
      onClose={onClose}
      actions={
        saved.value ? (
          <Button kind="primary" onClick={onClose}>
            {t("part.close")}
          </Button>
        ) : (
          <>
            <Button onClick={onClose}>{t("part.cancel")}</Button>
            {found && <Copies found={found} camera={state.camera} />}
            <Button
              kind="primary"
              disabled={cannot || isSaving.value}
              aria-busy={isSaving.value}
              onClick={() => void save()}
            >
              {t(isSaving.value ? "edit.saving" : "edit.save_now")}
            </Button>
          </>
        )
      }
    >
      {trouble !== null && (
        <div class="edit-trouble" role="alert">
          <p>{sentenceOf(trouble)}</p>
          {trouble instanceof ApiError && <Problems found={problemsIn(trouble)} />}
          {isStale && (
            <Button small icon="refresh" onClick={() => void reload()}>
              {t("edit.load_again")}
            </Button>
          )}
        </div>
      )}
      {saved.value ? (
        <AfterSaving saved={saved.value} />
      ) : found ? (
        <BeforeSaving found={found} />
      ) : (
        trouble === null && <Loading />
      )}
    </Dialog>
  );
}

function problemsIn(error: ApiError): Problem[] {
  const found = error.detail["problems"];
  return Array.isArray(found) ? (found as Problem[]) : [];
}

function BeforeSaving({ found }: { found: Preview }) {
  return (
    <div class="edit-save">
      {found.read_only && <p class="edit-trouble">{found.read_only}</p>}
      {found.problems.length > 0 && (
        <>
          <h3>{t("edit.problems")}</h3>
          <Problems found={found.problems} />
        </>
      )}
      {found.problems.length === 0 && <Effects found={found} />}
      {found.warnings.length > 0 && (
        <>
          <h3>{t("edit.warnings")}</h3>
          <Problems found={found.warnings} />
        </>
      )}
      <h3>{t("edit.in_the_file")}</h3>
      {found.diff ? <Diff text={found.diff} /> : <p>{t("edit.nothing_changes")}</p>}
    </div>
  );
}

function Problems({ found }: { found: readonly Problem[] }) {
  return (
    <ul class="edit-problems">
      {found.map((one) => (
        <li key={`${one.path} ${one.message}`}>
          <code>{one.path}</code>
          {one.line !== null && (
            <span class="edit-muted"> {t("edit.line_number", { n: one.line })}</span>
          )}
          : {one.message}
        </li>
      ))}
    </ul>
  );
}

function Effects({
  found,
}: {
  found: Pick<Preview, "begins_anew" | "restarts"> & { needs_restart?: string[] };
}) {
  const told = [...found.restarts, ...(found.needs_restart ?? [])];
  return (
    <>
      <h3>{t("edit.begins_anew")}</h3>
      {found.begins_anew.length === 0 && <p>{t("edit.all_go_on")}</p>}
      <ul class="edit-problems">
        {found.begins_anew.map((one) => (
          <li key={one.rule}>
            <strong>{one.rule}</strong> {t(`edit.rule_${one.kind}`)}
            {one.changed && <span class="edit-muted">: {one.changed}</span>}
          </li>
        ))}
        {told.map((one) => (
          <li key={one}>{one}</li>
        ))}
      </ul>
    </>
  );
}

export function Diff({ text }: { text: string }) {
  const kind = (line: string) =>
    line.startsWith("@@") || line.startsWith("+++") || line.startsWith("---")
      ? "edit-diff-head"
      : line.startsWith("+")
        ? "edit-diff-new"
        : line.startsWith("-")
          ? "edit-diff-old"
          : "";
  return (
    <pre class="edit-diff" tabIndex={0} aria-label={t("edit.in_the_file")}>
      {text.split("\n").map((line, index) => (
        <span key={index} class={kind(line)}>
          {`${line}\n`}
        </span>
      ))}
    </pre>
  );
}

/** Ways out where the file cannot be written here. */
function Copies({ found, camera }: { found: Preview; camera: string }) {
  const text = found.read_only ? found.text : found.diff;
  const url = useSignal("");
  useEffect(() => {
    url.value = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    return () => URL.revokeObjectURL(url.value);
  }, [text]);
  if (!found.diff) return null;
  const name = found.read_only ? `${camera}.yaml` : `${camera}.diff`;
  return (
    <>
      <Button
        icon="copy"
        onClick={() =>
          void navigator.clipboard?.writeText(text).then(
            () => toast({ text: t("edit.copied"), tone: "good" }),
            () => toast({ text: t("edit.not_copied"), tone: "bad" }),
          )
        }
      >
        {t("edit.copy")}
      </Button>
      <a class="button button-plain" href={url.value} download={name}>
        {t("edit.download")}
      </a>
    </>
  );
}

function AfterSaving({ saved }: { saved: Saved }) {
  const reply = useSignal<Reply>(saved.reload);
  useEffect(() => {
    const controller = new AbortController();
    let left = ASK_TIMES;
    const ask = async () => {
      if (reply.value.complete || !reply.value.request || left <= 0) return;
      left -= 1;
      try {
        const { request } = reply.value;
        reply.value = await get("/edit/answers", { request }, { signal: controller.signal });
      } catch (error) {
        if (isAbandoned(error)) return;
      }
      timer = setTimeout(() => void ask(), ASK_AGAIN_MS);
    };
    let timer = setTimeout(() => void ask(), ASK_AGAIN_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, []);
  const { processes, complete, trouble } = reply.value;
  return (
    <div class="edit-save">
      <p role="status">
        {trouble ??
          t(
            processes.length === 0
              ? complete
                ? "edit.nobody_runs"
                : "edit.waiting"
              : complete
                ? "edit.all_answered"
                : "edit.waiting",
          )}
      </p>
      <ul class="edit-problems">
        {processes.map((one) => (
          <li key={`${one.host} ${one.pid}`}>
            <span class={`badge badge-${one.good ? "good" : "warning"}`}>{one.outcome}</span>{" "}
            {t("edit.process", { stage: one.stage, host: one.host, pid: one.pid })}
            {one.said.map((sentence) => (
              <p key={sentence} class="edit-muted">
                {sentence}
              </p>
            ))}
          </li>
        ))}
      </ul>
      <Effects found={saved} />
      <h3>{t("edit.in_the_file")}</h3>
      <Diff text={saved.diff} />
    </div>
  );
}
