/** The state of the editor, for one camera. */

import { computed, signal } from "@preact/signals";
import type { Picture, Trail, Heat } from "./api.ts";
import type { XY } from "./geometry.ts";
import {
  begun,
  type Draft,
  draftOf,
  type Editable,
  isSame,
  pointsOf,
  redone,
  type ShapeName,
  stepped,
  undone,
} from "./model.ts";

/** What part of the picture is seen: its upper left corner, and how much larger than it is. */
export interface View {
  x: number;
  y: number;
  zoom: number;
}

export const MOST_ZOOM = 8;

export class EditorState {
  readonly camera: string;
  readonly editable = signal<Editable>(null as unknown as Editable);
  readonly steps = signal(begun(null as unknown as Draft));
  /** What is shown while something is being dragged; it becomes a step when it is let go. */
  readonly passing = signal<Draft | null>(null);
  readonly selected = signal<ShapeName | null>(null);
  /** The points of a shape that is being drawn; null while none is. */
  readonly drawing = signal<{ kind: ShapeName["kind"]; points: XY[] } | null>(null);
  readonly view = signal<View>({ x: 0, y: 0, zoom: 1 });
  readonly picture = signal<Picture | null>(null);
  readonly trails = signal<readonly Trail[]>([]);
  readonly heat = signal<Heat | null>(null);
  /** The path of the crossing that was chosen. */
  readonly shown = signal<Trail | null>(null);
  /** What was just done, for those who do not see it. */
  readonly said = signal("");

  readonly draft = computed(() => this.passing.value ?? this.steps.value.now);
  readonly original = computed(() => draftOf(this.editable.value));
  readonly isChanged = computed(() => !isSame(this.draft.value, this.original.value));
  readonly aspect = computed(() => {
    const bitmap = this.picture.value?.bitmap;
    return bitmap ? bitmap.width / bitmap.height : 16 / 9;
  });
  readonly points = computed(() => {
    const shape = this.selected.value;
    return shape ? pointsOf(this.draft.value, shape) : null;
  });

  constructor(editable: Editable) {
    this.camera = editable.camera;
    this.load(editable);
  }

  /** Begin with what the file says. */
  load(editable: Editable): void {
    this.editable.value = editable;
    this.steps.value = begun(draftOf(editable));
    this.passing.value = null;
  }

  /** Make a step that can be taken back. */
  change(draft: Draft): void {
    this.passing.value = null;
    this.steps.value = stepped(this.steps.value, draft);
  }

  undo(): void {
    this.passing.value = null;
    this.steps.value = undone(this.steps.value);
  }

  redo(): void {
    this.passing.value = null;
    this.steps.value = redone(this.steps.value);
  }

  /** Show a part of the picture, within its edges. */
  look(view: View): void {
    const zoom = Math.min(Math.max(view.zoom, 1), MOST_ZOOM);
    const most = 1 - 1 / zoom;
    const within = (value: number) => Math.min(Math.max(value, 0), most);
    this.view.value = { x: within(view.x), y: within(view.y), zoom };
  }

  /** Enlarge by a factor, so that a point of the picture stays where it is on the screen. */
  zoomAt([x, y]: XY, factor: number): void {
    const before = this.view.value;
    const zoom = Math.min(Math.max(before.zoom * factor, 1), MOST_ZOOM);
    const scale = before.zoom / zoom;
    this.look({ x: x - (x - before.x) * scale, y: y - (y - before.y) * scale, zoom });
  }
}
