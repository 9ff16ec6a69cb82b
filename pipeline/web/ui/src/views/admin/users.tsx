import { useSignal } from "@preact/signals";
import { ApiError, del, get, patch, post } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { timezone } from "../../app/session.ts";
import { moment } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Confirm, Dialog } from "../../parts/dialog.tsx";
import { Checkbox, SelectField, TextField } from "../../parts/field.tsx";
import { Card } from "../../parts/page.tsx";
import { sentenceOf, Whichever } from "../../parts/states.tsx";
import { Table } from "../../parts/table.tsx";
import { toast } from "../../parts/toast.tsx";
import { CameraChoice, camerasInWords } from "./cameras.tsx";

type Person = components["schemas"]["PersonInfo"];
type Role = Person["role"];

const ROLES: readonly Role[] = ["viewer", "operator", "admin"];

export function Users() {
  const people = useLoaded((signal) => get<Person[]>("/people", {}, { signal }));
  const open = useSignal<Person | "new" | null>(null);
  const removing = useSignal<Person | null>(null);
  const remove = async (person: Person) => {
    removing.value = null;
    try {
      await del(`/people/${encodeURIComponent(person.name)}`);
      toast({ text: t("admin.user.removed", { name: person.name }), tone: "good" });
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
    people.again();
  };
  return (
    <Card
      title={t("admin.users")}
      actions={
        <Button
          kind="primary"
          icon="plus"
          onClick={() => {
            open.value = "new";
          }}
        >
          {t("admin.user.add")}
        </Button>
      }
    >
      <Whichever of={people}>
        {(found) => (
          <Table
            stacks
            caption={t("admin.users")}
            rows={found}
            keyOf={(person) => person.name}
            columns={[
              { key: "name", title: t("admin.name"), cell: (person) => <b>{person.name}</b> },
              { key: "role", title: t("admin.role"), cell: (person) => t(`role.${person.role}`) },
              {
                key: "cameras",
                title: t("admin.cameras"),
                cell: (person) => camerasInWords(person.cameras),
              },
              {
                key: "state",
                title: t("admin.state"),
                cell: (person) =>
                  person.disabled_at === null ? (
                    <Badge tone={person.sessions > 0 ? "good" : "plain"}>
                      {t(person.sessions > 0 ? "admin.user.here" : "admin.user.away")}
                    </Badge>
                  ) : (
                    <Badge tone="warning">{t("admin.user.disabled")}</Badge>
                  ),
              },
              {
                key: "made",
                title: t("admin.made"),
                cell: (person) => moment(person.made_at, timezone()),
              },
              {
                key: "acts",
                title: t("admin.acts"),
                cell: (person) => (
                  <span class="admin-acts">
                    <Button
                      small
                      aria-label={t("admin.user.change_whom", { name: person.name })}
                      onClick={() => {
                        open.value = person;
                      }}
                    >
                      {t("admin.change")}
                    </Button>
                    <Button
                      small
                      kind="quiet"
                      icon="trash"
                      aria-label={t("admin.user.remove_whom", { name: person.name })}
                      onClick={() => {
                        removing.value = person;
                      }}
                    />
                  </span>
                ),
              },
            ]}
          />
        )}
      </Whichever>
      {open.value && (
        <UserDialog
          person={open.value === "new" ? null : open.value}
          onClose={(isChanged) => {
            open.value = null;
            if (isChanged) people.again();
          }}
        />
      )}
      {removing.value && (
        <Confirm
          danger
          title={t("admin.user.remove_whom", { name: removing.value.name })}
          text={t("admin.user.remove_text")}
          action={t("admin.remove")}
          onConfirm={() => removing.value && void remove(removing.value)}
          onClose={() => {
            removing.value = null;
          }}
        />
      )}
    </Card>
  );
}

function UserDialog({
  person,
  onClose,
}: {
  person: Person | null;
  onClose: (isChanged: boolean) => void;
}) {
  const name = useSignal(person?.name ?? "");
  const password = useSignal("");
  const role = useSignal<Role>(person?.role ?? "viewer");
  const cameras = useSignal<string[] | null>(person?.cameras ?? null);
  const isDisabled = useSignal(person?.disabled_at != null);
  const problems = useSignal<Record<string, string>>({});
  const isBusy = useSignal(false);
  const save = async () => {
    isBusy.value = true;
    problems.value = {};
    const seen = role.value === "admin" ? null : cameras.value;
    try {
      if (person === null) {
        await post("/people", {
          name: name.value,
          password: password.value,
          role: role.value,
          cameras: seen,
        });
      } else {
        await patch(`/people/${encodeURIComponent(person.name)}`, {
          role: role.value,
          cameras: seen,
          disabled: isDisabled.value,
          ...(password.value ? { password: password.value } : {}),
        });
      }
      toast({ text: t("admin.user.saved", { name: name.value }), tone: "good" });
      onClose(true);
    } catch (error) {
      const place = error instanceof ApiError ? error.place : null;
      problems.value = { [place ?? "form"]: sentenceOf(error) };
    } finally {
      isBusy.value = false;
    }
  };
  const title = person ? t("admin.user.change_whom", { name: person.name }) : t("admin.user.add");
  return (
    <Dialog title={title} onClose={() => onClose(false)}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        {person === null && (
          <TextField
            label={t("admin.name")}
            hint={t("admin.user.name_hint")}
            required
            spellcheck={false}
            autocomplete="off"
            maxLength={64}
            value={name.value}
            problem={problems.value["name"]}
            onValue={(value) => {
              name.value = value;
            }}
          />
        )}
        <TextField
          label={t(person ? "admin.user.new_password" : "admin.user.password")}
          hint={t(person ? "admin.user.new_password_hint" : "admin.user.password_hint")}
          type="password"
          autocomplete="new-password"
          required={person === null}
          maxLength={256}
          value={password.value}
          problem={problems.value["password"]}
          onValue={(value) => {
            password.value = value;
          }}
        />
        <SelectField
          label={t("admin.role")}
          hint={t(`role.${role.value}.text`)}
          value={role.value}
          options={ROLES.map((value) => ({ value, label: t(`role.${value}`) }))}
          onValue={(value) => {
            role.value = value;
          }}
        />
        {role.value !== "admin" && (
          <CameraChoice
            value={cameras.value}
            onValue={(value) => {
              cameras.value = value;
            }}
          />
        )}
        {person && (
          <Checkbox
            label={t("admin.user.disable")}
            hint={t("admin.user.disable_hint")}
            checked={isDisabled.value}
            onChecked={(checked) => {
              isDisabled.value = checked;
            }}
          />
        )}
        {(problems.value["form"] ?? problems.value["cameras"]) && (
          <p class="field-problem" role="alert">
            {problems.value["form"] ?? problems.value["cameras"]}
          </p>
        )}
        {person && <p class="muted small">{t("admin.user.signs_out")}</p>}
        <div class="dialog-actions">
          <Button onClick={() => onClose(false)}>{t("part.cancel")}</Button>
          <Button type="submit" kind="primary" disabled={isBusy.value}>
            {t("admin.save")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
