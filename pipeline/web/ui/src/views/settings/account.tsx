import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, del, get, put } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, t } from "../../app/language.ts";
import { go } from "../../app/router.ts";
import { may, site } from "../../app/session.ts";
import { Button } from "../../parts/button.tsx";
import { TextField } from "../../parts/field.tsx";
import { Card } from "../../parts/page.tsx";
import { sentenceOf } from "../../parts/states.tsx";
import { toast } from "../../parts/toast.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

/** Who is signed in, the way out, and another password. */
export function Account() {
  const session = useSignal<components["schemas"]["SessionInfo"] | null>(null);
  useEffect(() => {
    get<components["schemas"]["SessionInfo"]>("/session").then(
      (found) => {
        session.value = found;
      },
      (error: unknown) => toast({ text: sentenceOf(error), tone: "bad" }),
    );
  }, []);
  const signOut = async () => {
    try {
      await del("/session");
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
      return;
    }
    site.value = null;
    // Whoever has signed in elsewhere is signed out there, too.
    const elsewhere = session.value?.sign_out_url;
    if (elsewhere) location.assign(elsewhere);
    else go("/sign-in");
  };
  const visitor = site.value?.visitor;
  if (!visitor) return null;
  return (
    <Card
      title={t("settings.visitor", { name: visitor })}
      actions={<Button onClick={() => void signOut()}>{t("account.sign_out")}</Button>}
    >
      {may("account") && session.value?.has_password && <OwnPassword />}
    </Card>
  );
}

function OwnPassword() {
  const old = useSignal("");
  const next = useSignal("");
  const problems = useSignal<Record<string, string>>({});
  const change = async () => {
    problems.value = {};
    try {
      await put("/password", { old: old.value, new: next.value });
      old.value = "";
      next.value = "";
      toast({ text: t("account.changed"), tone: "good" });
    } catch (error) {
      const place = error instanceof ApiError ? error.place : null;
      problems.value = { [place === "old" ? "old" : "new"]: sentenceOf(error) };
    }
  };
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void change();
      }}
    >
      <TextField
        label={t("account.old")}
        type="password"
        autocomplete="current-password"
        required
        maxLength={256}
        value={old.value}
        problem={problems.value["old"]}
        onValue={(value) => {
          old.value = value;
        }}
      />
      <TextField
        label={t("account.new")}
        hint={t("account.new_hint")}
        type="password"
        autocomplete="new-password"
        required
        maxLength={256}
        value={next.value}
        problem={problems.value["new"]}
        onValue={(value) => {
          next.value = value;
        }}
      />
      <Button type="submit" disabled={!old.value || !next.value}>
        {t("account.change")}
      </Button>
    </form>
  );
}
