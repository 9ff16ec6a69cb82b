/** The links that still open: one's own, or for admins everybody's; and the way to end them. */

import { del, get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, number, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { timezone } from "../../app/session.ts";
import { moment } from "../../app/times.ts";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/page.tsx";
import { sentenceOf, Whichever } from "../../parts/states.tsx";
import { Table } from "../../parts/table.tsx";
import { toast } from "../../parts/toast.tsx";
import { texts } from "./texts.ts";

addTexts(texts);

type Link = components["schemas"]["SharedLinkSaid"];

export function SharedLinks({ all = false }: { all?: boolean }) {
  const links = useLoaded<Link[]>((signal) => get("/shared-links", { all }, { signal }), [all]);
  const title = t(all ? "share.links.all" : "share.links");
  const end = async (link: Link) => {
    try {
      await del(`/shared-links/${encodeURIComponent(link.id)}`);
      toast({ text: t("share.ended"), tone: "good" });
    } catch (error) {
      toast({ text: sentenceOf(error), tone: "bad" });
    }
    links.again();
  };
  const when = (link: Link) => moment(link.made_at, timezone(link.camera));
  return (
    <Card title={title}>
      <p class="muted">{t("share.links.text")}</p>
      <Whichever of={links}>
        {(found) =>
          found.length === 0 ? (
            <p class="muted">{t("share.links.none")}</p>
          ) : (
            <Table
              stacks
              caption={title}
              rows={found}
              keyOf={(link) => link.id}
              columns={[
                {
                  key: "of",
                  title: t("share.of"),
                  cell: (link) => (
                    <a
                      href={`/events?show=all&event=${encodeURIComponent(link.event)}`}
                      aria-label={t("share.event_of", {
                        what: t(`share.${link.kind}`),
                        camera: link.camera,
                        when: when(link),
                      })}
                    >
                      {t(`share.${link.kind}`)}, {link.camera}
                    </a>
                  ),
                },
                ...(all
                  ? [{ key: "by", title: t("share.by"), cell: (link: Link) => link.made_by }]
                  : []),
                {
                  key: "until",
                  title: t("share.until"),
                  cell: (link) => moment(link.until, timezone(link.camera)),
                },
                { key: "opened", title: t("share.opened"), cell: (link) => number(link.opened) },
                {
                  key: "end",
                  title: t("share.end"),
                  cell: (link) => (
                    <Button
                      small
                      aria-label={t("share.end_which", {
                        kind: t(`share.${link.kind}`),
                        camera: link.camera,
                        when: when(link),
                      })}
                      onClick={() => void end(link)}
                    >
                      {t("share.end")}
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
