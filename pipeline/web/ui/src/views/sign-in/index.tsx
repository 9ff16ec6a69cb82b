import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { ApiError, get, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, t } from "../../app/language.ts";
import { go, path, query } from "../../app/router.ts";
import { readSite } from "../../app/session.ts";
import { Button, ButtonLink } from "../../parts/button.tsx";
import { TextField } from "../../parts/field.tsx";
import { Icon } from "../../parts/icon.tsx";
import { sentenceOf } from "../../parts/states.tsx";
import { beginAt, nextOf, problemOf, secretOf } from "./addresses.ts";
import "./sign-in.css";
import { texts } from "./texts.ts";

addTexts(texts);

type SessionInfo = components["schemas"]["SessionInfo"];

export default function SignIn() {
  return path.value === "/set-up" ? <SetUp /> : <ByPassword />;
}

/** Read the site as the one who has just come in, and show what he wanted to see. */
async function enter(): Promise<void> {
  await readSite();
  go(nextOf(query.value.get("next")), { replace: true });
}

function ByPassword() {
  const name = useSignal("");
  const password = useSignal("");
  const problem = useSignal<string | null>(null);
  const isBusy = useSignal(false);
  const session = useSignal<SessionInfo | null>(null);
  useEffect(() => {
    const link = secretOf(location.hash, "guest");
    if (link) history.replaceState(null, "", location.pathname + location.search);
    get<SessionInfo>("/session").then(
      (found) => {
        session.value = found;
        if (found.visitor) void enter();
        else if (link) void come({ link });
      },
      (error: unknown) => {
        problem.value = sentenceOf(error);
      },
    );
  }, []);

  const come = async (wanted: Record<string, string>) => {
    isBusy.value = true;
    problem.value = null;
    try {
      await post<SessionInfo>("/session", wanted);
      await enter();
    } catch (error) {
      problem.value = sentenceOf(error);
      password.value = "";
    } finally {
      isBusy.value = false;
    }
  };

  const failed = problemOf(query.value.get("problem"));
  const provider = session.value?.provider;
  const takesPasswords = session.value?.takes_passwords !== false;
  return (
    <Entrance title={t("sign-in.title")} session={session.value}>
      {session.value?.needs_set_up && <Note>{t("sign-in.needs_set_up")}</Note>}
      {failed && (
        <div role="alert">
          <Note isWarning>{t(`sign-in.problem.${failed}`)}</Note>
        </div>
      )}
      {provider && (
        <ButtonLink
          kind={takesPasswords ? "plain" : "primary"}
          href={beginAt(provider.url, nextOf(query.value.get("next")))}
        >
          {t("sign-in.at_provider", { label: provider.label })}
        </ButtonLink>
      )}
      {provider && takesPasswords && <p class="entrance-or muted">{t("sign-in.or")}</p>}
      {!takesPasswords && problem.value && <Note isWarning>{problem.value}</Note>}
      {takesPasswords && (
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void come({ name: name.value, password: password.value });
          }}
        >
          <TextField
            label={t("sign-in.name")}
            name="username"
            autocomplete="username"
            required
            autoFocus
            spellcheck={false}
            maxLength={64}
            value={name.value}
            onValue={(value) => {
              name.value = value;
            }}
          />
          <TextField
            label={t("sign-in.password")}
            name="password"
            type="password"
            autocomplete="current-password"
            required
            maxLength={256}
            value={password.value}
            problem={problem.value}
            onValue={(value) => {
              password.value = value;
            }}
          />
          <Button type="submit" kind="primary" disabled={isBusy.value}>
            {isBusy.value ? t("sign-in.busy") : t("sign-in.act")}
          </Button>
        </form>
      )}
    </Entrance>
  );
}

function SetUp() {
  const link = useSignal<string | null>(null);
  const name = useSignal("");
  const password = useSignal("");
  const again = useSignal("");
  const problems = useSignal<Record<string, string>>({});
  const isBusy = useSignal(false);
  const session = useSignal<SessionInfo | null>(null);
  useEffect(() => {
    link.value = secretOf(location.hash);
    // Out of the history and of what is copied from the bar of the browser.
    if (link.value) history.replaceState(null, "", location.pathname);
    get<SessionInfo>("/session").then(
      (found) => {
        session.value = found;
      },
      (error: unknown) => {
        problems.value = { form: sentenceOf(error) };
      },
    );
  }, []);

  const make = async () => {
    if (password.value !== again.value) {
      problems.value = { again: t("set-up.differ") };
      return;
    }
    isBusy.value = true;
    problems.value = {};
    try {
      await post("/set-up", { link: link.value, name: name.value, password: password.value });
      await enter();
    } catch (error) {
      const place = error instanceof ApiError ? error.place : null;
      problems.value = { [place ?? "form"]: sentenceOf(error) };
    } finally {
      isBusy.value = false;
    }
  };

  if (session.value && !session.value.needs_set_up) {
    return (
      <Entrance title={t("set-up.title")} session={session.value}>
        <Note>{t("set-up.done")}</Note>
        <a href="/sign-in">{t("set-up.to_sign_in")}</a>
      </Entrance>
    );
  }
  return (
    <Entrance title={t("set-up.title")} session={session.value}>
      <p class="muted">{link.value ? t("set-up.text") : t("set-up.no_link")}</p>
      {link.value && (
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void make();
          }}
        >
          <TextField
            label={t("sign-in.name")}
            name="username"
            autocomplete="username"
            required
            autoFocus
            spellcheck={false}
            maxLength={64}
            value={name.value}
            problem={problems.value["name"]}
            onValue={(value) => {
              name.value = value;
            }}
          />
          <TextField
            label={t("sign-in.password")}
            hint={t("set-up.password_hint")}
            name="new-password"
            type="password"
            autocomplete="new-password"
            required
            minLength={12}
            maxLength={256}
            value={password.value}
            problem={problems.value["password"]}
            onValue={(value) => {
              password.value = value;
            }}
          />
          <TextField
            label={t("set-up.again")}
            type="password"
            autocomplete="new-password"
            required
            maxLength={256}
            value={again.value}
            problem={problems.value["again"] ?? problems.value["form"]}
            onValue={(value) => {
              again.value = value;
            }}
          />
          <Button type="submit" kind="primary" disabled={isBusy.value}>
            {t("set-up.act")}
          </Button>
        </form>
      )}
    </Entrance>
  );
}

function Entrance({
  title,
  session,
  children,
}: {
  title: string;
  session: SessionInfo | null;
  children: ComponentChildren;
}) {
  return (
    <div class="entrance">
      <div class="entrance-card stack">
        <div class="entrance-head">
          <img src="/icon.svg" alt="" width="40" height="40" />
          <span class="muted">moonwatch</span>
        </div>
        <h1>{title}</h1>
        {session?.connection.warning && (
          <Note isWarning>{t("sign-in.not_encrypted")}</Note>
        )}
        {children}
      </div>
    </div>
  );
}

function Note({ isWarning, children }: { isWarning?: boolean; children: ComponentChildren }) {
  return (
    <p class={isWarning ? "entrance-note entrance-warning" : "entrance-note"}>
      <Icon name={isWarning ? "warning" : "info"} size={18} />
      <span>{children}</span>
    </p>
  );
}
