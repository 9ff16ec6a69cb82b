/** The shapes of the camera as a list, and the coordinates of the chosen one as a table. */

import { useSignal } from "@preact/signals";
import { t } from "../../app/language.ts";
import { Button, IconButton } from "../../parts/button.tsx";
import { TextField } from "../../parts/field.tsx";
import { crossesItself, meetingEdges, placed, type XY } from "./geometry.ts";
import {
  pointsOf,
  rulesOf,
  type ShapeKind,
  type ShapeName,
  shapesOf,
  withoutPoint,
  withPoint,
  withPointInserted,
  withRenamed,
} from "./model.ts";
import { finishDrawing, flip, isSelected, remove, titleOf } from "./stage.tsx";
import type { EditorState } from "./store.ts";

export function Shapes({ state }: { state: EditorState }) {
  const draft = state.draft.value;
  const shapes = shapesOf(draft).reverse();
  const drawing = state.drawing.value;
  const draw = (kind: ShapeKind) => {
    state.selected.value = null;
    state.drawing.value = { kind, points: [] };
    state.said.value = t(`edit.draw_${kind}`);
    requestAnimationFrame(() => document.querySelector<SVGElement>(".edit-svg")?.focus());
  };
  return (
    <section class="edit-panel">
      <h2>{t("edit.shapes")}</h2>
      <div class="edit-row">
        {(["line", "zone", "mask"] as const).map((kind) => (
          <Button key={kind} small icon="plus" onClick={() => draw(kind)}>
            {t(`edit.kind_${kind}`)}
          </Button>
        ))}
      </div>
      {drawing && (
        <div class="edit-hint" role="status">
          <p>{t(`edit.draw_${drawing.kind}`)}</p>
          <div class="edit-row">
            <Button small kind="primary" onClick={() => finishDrawing(state)}>
              {t(drawing.points.length ? "edit.finish" : "edit.put_in_middle")}
            </Button>
            <Button small onClick={() => (state.drawing.value = null)}>
              {t("part.cancel")}
            </Button>
          </div>
        </div>
      )}
      {shapes.length === 0 && !drawing && <p class="edit-muted">{t("edit.no_shapes")}</p>}
      <ul class="edit-list">
        {shapes.map((shape) => (
          <li key={`${shape.kind} ${shape.name}`}>
            <button
              type="button"
              class="edit-item"
              aria-pressed={isSelected(state, shape)}
              onClick={() => {
                state.selected.value = isSelected(state, shape) ? null : shape;
              }}
            >
              <span class={`edit-swatch edit-swatch-${shape.kind}`} aria-hidden="true" />
              <span>{titleOf(shape)}</span>
              <span class="edit-muted">{rulesOf(draft, shape).join(", ")}</span>
            </button>
          </li>
        ))}
      </ul>
      {state.selected.value && (
        <Chosen
          key={`${state.selected.value.kind} ${state.selected.value.name}`}
          state={state}
          shape={state.selected.value}
        />
      )}
    </section>
  );
}

const NAME = /^[\p{L}\p{N}_-]{1,64}$/u;

function Chosen({ state, shape }: { state: EditorState; shape: ShapeName }) {
  const draft = state.draft.value;
  const points = pointsOf(draft, shape);
  const name = useSignal(shape.name);
  const used = shape.kind === "line" ? draft.lines : draft.zones;
  const problem = !NAME.test(name.value)
    ? t("edit.name_letters")
    : name.value !== shape.name && name.value in used
      ? t("edit.name_used")
      : null;
  const rename = () => {
    if (problem || shape.kind === "mask" || name.value === shape.name) return;
    state.change(withRenamed(draft, shape, name.value));
    state.selected.value = { kind: shape.kind, name: name.value };
  };
  return (
    <div class="edit-chosen">
      {shape.kind !== "mask" && (
        <TextField
          label={t("edit.name")}
          value={name.value}
          problem={problem}
          maxLength={64}
          onValue={(value) => (name.value = value)}
          onBlur={rename}
          onKeyDown={(event) => {
            if (event.key === "Enter") rename();
          }}
        />
      )}
      {points === null ? (
        <p>{t("edit.by_variable")}</p>
      ) : (
        <>
          {shape.kind !== "line" && crossesItself(points) && (
            <p class="field-problem" role="alert">
              {crossing(points)}
            </p>
          )}
          <table class="edit-coordinates">
            <caption class="unseen">{t("edit.coordinates", { name: titleOf(shape) })}</caption>
            <thead>
              <tr>
                <th scope="col">{t("edit.point")}</th>
                <th scope="col">x</th>
                <th scope="col">y</th>
                {shape.kind !== "line" && (
                  <th scope="col" class="edit-narrow">
                    <span class="unseen">{t("edit.change")}</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {points.map((point, index) => (
                <tr key={index}>
                  <th scope="row">
                    {shape.kind === "line"
                      ? t(index === 0 ? "edit.point_start" : "edit.point_end")
                      : index + 1}
                  </th>
                  {([0, 1] as const).map((axis) => (
                    <td key={axis}>
                      <input
                        type="number"
                        min={0}
                        max={1}
                        step={0.001}
                        value={point[axis]}
                        aria-label={`${titleOf(shape)}, ${index + 1}, ${axis ? "y" : "x"}`}
                        onChange={(event) => {
                          const value = event.currentTarget.valueAsNumber;
                          if (!Number.isFinite(value)) return;
                          const goal = placed(axis ? [point[0], value] : [value, point[1]]);
                          state.change(withPoint(draft, shape, index, goal));
                        }}
                      />
                    </td>
                  ))}
                  {shape.kind !== "line" && (
                    <td class="edit-narrow">
                      <IconButton
                        icon="plus"
                        label={t("edit.insert_after", { n: index + 1 })}
                        onClick={() => state.change(withPointInserted(draft, shape, index))}
                      />
                      <IconButton
                        icon="trash"
                        label={t("edit.remove_point", { n: index + 1 })}
                        disabled={points.length <= 3}
                        onClick={() => state.change(withoutPoint(draft, shape, index))}
                      />
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      <div class="edit-row">
        {shape.kind === "line" && (
          <Button small icon="refresh" onClick={() => flip(state, shape.name)}>
            {t("edit.flip")}
          </Button>
        )}
        <Button small kind="quiet" icon="trash" onClick={() => remove(state, shape)}>
          {t("edit.remove", { name: titleOf(shape) })}
        </Button>
      </div>
    </div>
  );
}

/** What is wrong with a polygon, as `moonwatch check` says it. */
function crossing(points: readonly XY[]): string {
  const edges = meetingEdges(points);
  if (!edges) return t("edit.no_area");
  return t("edit.edges_cross", { first: edges[0] + 1, second: edges[1] + 1 });
}
