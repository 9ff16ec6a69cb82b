/** Counting by hand: what to count, the clips one by one, and how right the counts are. */

import { useSignal } from "@preact/signals";
import { get } from "../../api/client.ts";
import type { components } from "../../api/schema.d.ts";
import { addTexts, t } from "../../app/language.ts";
import { useLoaded } from "../../app/loaded.ts";
import { query, setQuery } from "../../app/router.ts";
import { may } from "../../app/session.ts";
import { Card, Page } from "../../parts/page.tsx";
import { Whichever } from "../../parts/states.tsx";
import { Counter } from "./counter.tsx";
import { Earlier } from "./earlier.tsx";
import { Result } from "./result.tsx";
import { Start } from "./start.tsx";
import { texts } from "./texts.ts";
import "./counting.css";

addTexts(texts);

type OpenCount = components["schemas"]["OpenCount"];
type DoneCount = components["schemas"]["DoneCount"];

export default function CountingView() {
  const id = query.value.get("id");
  const done = useSignal<DoneCount | null>(null);
  const drawn = useSignal<OpenCount | null>(null);
  if (done.value && (id === null || done.value.id === id)) {
    return (
      <Page title={t("count.result")}>
        <Result
          of={done.value}
          onAnother={() => {
            done.value = null;
            setQuery({ id: null });
          }}
        />
      </Page>
    );
  }
  if (id !== null && may("review")) {
    return (
      <Page title={t("count.title")}>
        <Opened
          key={id}
          id={id}
          drawn={drawn.value?.id === id ? drawn.value : null}
          onDone={(found) => {
            done.value = found;
          }}
          onLeave={() => {
            // As it was drawn, nothing was counted in it yet.
            drawn.value = null;
            setQuery({ id: null });
          }}
        />
      </Page>
    );
  }
  return (
    <Page title={t("count.title")}>
      {may("review") && (
        <Start
          onDrawn={(found) => {
            done.value = null;
            drawn.value = found;
            setQuery({ id: found.id });
          }}
        />
      )}
      <Card title={t("count.earlier")}>
        <Earlier />
      </Card>
    </Page>
  );
}

function Opened({
  id,
  drawn,
  onDone,
  onLeave,
}: {
  id: string;
  drawn: OpenCount | null;
  onDone: (done: DoneCount) => void;
  onLeave: () => void;
}) {
  const loaded = useLoaded<OpenCount>(
    async (signal) => drawn ?? get(`/audits/${encodeURIComponent(id)}`, {}, { signal }),
    [id],
  );
  return (
    <Whichever of={loaded}>
      {(count) => <Counter count={count} onDone={onDone} onLeave={onLeave} />}
    </Whichever>
  );
}
