import { useSignal } from "@preact/signals";
import { ApiError, del, get, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { now, timezone } from "../../app/session.ts";
import { date, moment } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Confirm, Dialog } from "../../parts/dialog.tsx";
import { Checkbox, SelectField, TextField } from "../../parts/field.tsx";
import { Card } from "../../parts/page.tsx";
import { Said } from "../../parts/said.tsx";
import { Empty, sentenceOf, Whichever } from "../../parts/states.tsx";
import { Table } from "../../parts/table.tsx";
import { toast } from "../../parts/toast.tsx";
import { CameraChoice, camerasInWords } from "./cameras.tsx";

type Token = components["schemas"]["TokenInfo"];
type Made = components["schemas"]["MadeToken"];
type Scope = Token["scopes"][number];
type Lasts = "30" | "90" | "365" | "never";

const SCOPES: readonly Scope[] = [
  "read:events",
  "read:media",
  "read:metrics",
  "write:ack",
  "admin",
];
const LASTS: readonly Lasts[] = ["30", "90", "365", "never"];

export function Tokens() {
  const tokens = useLoaded((signal) => get<Token[]>("/tokens", {}, { signal }));
  const isOpen = useSignal(false);
  const made = useSignal<string | null>(null);
  const ending = useSignal<Token | null>(null);
  const end = async (token: Token) => {
    ending.value = null;
    try {
      await del(`/tokens/${encodeURIComponent(token.id)}`);
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
    tokens.again();
  };
  return (
    <Card
      title={t("admin.tokens")}
      actions={
        <Button
          kind="primary"
          icon="plus"
          onClick={() => {
            isOpen.value = true;
          }}
        >
          {t("admin.token.add")}
        </Button>
      }
    >
      <p class="muted">
        <Said text={t("admin.token.text")} />
      </p>
      <Whichever of={tokens}>
        {(found) =>
          found.length === 0 ? (
            <Empty title={t("admin.token.none")} />
          ) : (
            <Table
              stacks
              caption={t("admin.tokens")}
              rows={found}
              keyOf={(token) => token.id}
              columns={[
                { key: "name", title: t("admin.name"), cell: (token) => <b>{token.name}</b> },
                {
                  key: "scopes",
                  title: t("admin.token.opens"),
                  cell: (token) => token.scopes.map((scope) => t(`scope.${scope}`)).join(", "),
                },
                {
                  key: "cameras",
                  title: t("admin.cameras"),
                  cell: (token) => camerasInWords(token.cameras),
                },
                { key: "by", title: t("admin.made_by"), cell: (token) => token.made_by },
                {
                  key: "used",
                  title: t("admin.token.used"),
                  cell: (token) =>
                    token.used_at === null
                      ? t("admin.token.unused")
                      : moment(token.used_at, timezone()),
                },
                { key: "state", title: t("admin.state"), cell: (token) => <State of={token} /> },
                {
                  key: "acts",
                  title: t("admin.acts"),
                  cell: (token) =>
                    isOver(token) ? null : (
                      <Button
                        small
                        aria-label={t("admin.token.end_which", { name: token.name })}
                        onClick={() => {
                          ending.value = token;
                        }}
                      >
                        {t("admin.end")}
                      </Button>
                    ),
                },
              ]}
            />
          )
        }
      </Whichever>
      {isOpen.value && (
        <TokenDialog
          onClose={(text) => {
            isOpen.value = false;
            made.value = text;
            if (text) tokens.again();
          }}
        />
      )}
      {made.value && (
        <MadeDialog
          text={made.value}
          onClose={() => {
            made.value = null;
          }}
        />
      )}
      {ending.value && (
        <Confirm
          danger
          title={t("admin.token.end_which", { name: ending.value.name })}
          text={t("admin.token.end_text")}
          action={t("admin.end")}
          onConfirm={() => ending.value && void end(ending.value)}
          onClose={() => {
            ending.value = null;
          }}
        />
      )}
    </Card>
  );
}

function isOver(token: Token): boolean {
  return token.ended_at !== null || (token.expires_at !== null && token.expires_at <= now());
}

function State({ of: token }: { of: Token }) {
  if (isOver(token)) return <Badge>{t("admin.token.over")}</Badge>;
  if (token.expires_at === null) return <Badge tone="good">{t("admin.token.for_ever")}</Badge>;
  return (
    <Badge tone="good">{t("admin.token.until", { day: date(token.expires_at, timezone()) })}</Badge>
  );
}

function TokenDialog({ onClose }: { onClose: (text: string | null) => void }) {
  const name = useSignal("");
  const scopes = useSignal<readonly Scope[]>(["read:events"]);
  const cameras = useSignal<string[] | null>(null);
  const lasts = useSignal<Lasts>("90");
  const problems = useSignal<Record<string, string>>({});
  const isBusy = useSignal(false);
  const isAdmin = scopes.value.includes("admin");
  const make = async () => {
    isBusy.value = true;
    problems.value = {};
    try {
      const made = await post<Made>("/tokens", {
        name: name.value,
        scopes: scopes.value,
        cameras: isAdmin ? null : cameras.value,
        days: lasts.value === "never" ? null : Number(lasts.value),
      });
      onClose(made.text);
    } catch (error) {
      const place = error instanceof ApiError ? error.place : null;
      problems.value = { [place === "name" ? place : "form"]: sentenceOf(error) };
      isBusy.value = false;
    }
  };
  return (
    <Dialog title={t("admin.token.add")} onClose={() => onClose(null)}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void make();
        }}
      >
        <TextField
          label={t("admin.name")}
          hint={t("admin.token.name_hint")}
          required
          autocomplete="off"
          maxLength={64}
          value={name.value}
          problem={problems.value["name"]}
          onValue={(value) => {
            name.value = value;
          }}
        />
        <fieldset class="admin-scopes">
          <legend>{t("admin.token.opens")}</legend>
          {SCOPES.map((scope) => (
            <Checkbox
              key={scope}
              label={t(`scope.${scope}`)}
              checked={scopes.value.includes(scope)}
              onChecked={(checked) => {
                scopes.value = checked
                  ? [...scopes.value, scope]
                  : scopes.value.filter((one) => one !== scope);
              }}
            />
          ))}
        </fieldset>
        {!isAdmin && (
          <CameraChoice
            value={cameras.value}
            onValue={(value) => {
              cameras.value = value;
            }}
          />
        )}
        <SelectField
          label={t("admin.token.lasts")}
          value={lasts.value}
          options={LASTS.map((value) => ({ value, label: t(`admin.token.lasts.${value}`) }))}
          onValue={(value) => {
            lasts.value = value;
          }}
        />
        {problems.value["form"] && (
          <p class="field-problem" role="alert">
            {problems.value["form"]}
          </p>
        )}
        <div class="dialog-actions">
          <Button onClick={() => onClose(null)}>{t("part.cancel")}</Button>
          <Button
            type="submit"
            kind="primary"
            disabled={isBusy.value || scopes.value.length === 0}
          >
            {t("admin.token.make")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function MadeDialog({ text, onClose }: { text: string; onClose: () => void }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast({ text: t("admin.token.copied"), tone: "good" });
    } catch {
      // Without https a browser lets no page write there: the text can be marked by hand.
      toast({ text: t("admin.token.not_copied"), tone: "bad" });
    }
  };
  return (
    <Dialog
      title={t("admin.token.made")}
      onClose={onClose}
      actions={
        <>
          <Button icon="copy" onClick={() => void copy()}>
            {t("admin.token.copy")}
          </Button>
          <Button kind="primary" onClick={onClose}>
            {t("part.close")}
          </Button>
        </>
      }
    >
      <p>{t("admin.token.made_text")}</p>
      <p>
        <code class="admin-secret">{text}</code>
      </p>
    </Dialog>
  );
}
