import { del, get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { timezone } from "../../app/session.ts";
import { moment } from "../../app/times.ts";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/page.tsx";
import { Empty, sentenceOf, Whichever } from "../../parts/states.tsx";
import { Table } from "../../parts/table.tsx";
import { toast } from "../../parts/toast.tsx";

type Session = components["schemas"]["OneSession"];

/** Who is signed in, and where from. */
export function Sessions() {
  const sessions = useLoaded((signal) =>
    get<Session[]>("/sessions", { everybody: true }, { signal }),
  );
  const end = async (session: Session) => {
    try {
      await del(`/sessions/${encodeURIComponent(session.id)}`);
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
    sessions.again();
  };
  return (
    <Card title={t("admin.sessions")}>
      <Whichever of={sessions}>
        {(found) =>
          found.length === 0 ? (
            <Empty title={t("admin.session.none")} />
          ) : (
            <Table
              stacks
              caption={t("admin.sessions")}
              rows={found}
              keyOf={(session) => session.id}
              columns={[
                {
                  key: "who",
                  title: t("admin.who"),
                  cell: (session) => (
                    <>
                      <b>{session.who}</b>{" "}
                      {session.is_this && <Badge tone="accent">{t("admin.session.this")}</Badge>}
                    </>
                  ),
                },
                {
                  key: "began",
                  title: t("admin.session.began"),
                  cell: (session) => moment(session.began_at, timezone()),
                },
                {
                  key: "seen",
                  title: t("admin.session.seen"),
                  cell: (session) => moment(session.seen_at, timezone()),
                },
                {
                  key: "address",
                  title: t("admin.session.address"),
                  cell: (session) => session.address,
                },
                {
                  key: "agent",
                  title: t("admin.session.agent"),
                  cell: (session) => <span class="admin-agent">{session.agent}</span>,
                },
                {
                  key: "acts",
                  title: t("admin.acts"),
                  cell: (session) =>
                    session.is_this ? null : (
                      <Button
                        small
                        aria-label={t("admin.session.end_whose", { name: session.who })}
                        onClick={() => void end(session)}
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
    </Card>
  );
}
