/** What the wall knows of each camera, and when its tile has to be drawn anew. */

import { type Signal, signal } from "@preact/signals";
import { address } from "../../api/client.ts";
import { now } from "../../app/session.ts";
import { Trails } from "./layout.ts";
import { LiveSocket } from "./socket.ts";
import {
  type CameraFacts,
  type EngineFacts,
  type Head,
  isOfFrame,
  type Known,
  type Text,
} from "./wire.ts";

/** One camera's picture that is shown, with what is known of that frame. */
export interface ShownFrame {
  bitmap: ImageBitmap;
  capturedAt: number;
  /** Null for a picture that was kept of an event. */
  known: Known | null;
}

export class CameraView {
  readonly name: string;
  readonly frame: Signal<ShownFrame | null> = signal(null);
  readonly facts: Signal<CameraFacts | null> = signal(null);
  /** Events when the page was opened, to tell what is new. */
  readonly eventsBefore: Signal<number | null> = signal(null);
  readonly trails = new Trails();
  private next: { head: Head; jpeg: Uint8Array<ArrayBuffer> } | null = null;
  private isDecoding = false;
  private later: Known | null = null;
  private hasAsked = false;

  private readonly onShape: (ratio: number) => void;

  /** `onShape` is told width ÷ height of a picture that was kept. */
  constructor(name: string, onShape: (ratio: number) => void = () => {}) {
    this.name = name;
    this.onShape = onShape;
  }

  /** Show a picture; while one is decoded only the newest waits. */
  show(head: Head, jpeg: Uint8Array<ArrayBuffer>): void {
    this.next = { head, jpeg };
    if (!this.isDecoding) void this.decode();
  }

  /** What became known of a frame later: it is drawn if that frame is the one that is shown. */
  learn(known: Known): void {
    const frame = this.frame.value;
    if (frame && isOfFrame(known, frame.known)) {
      this.frame.value = { ...frame, known };
      this.trails.add({ ...known, captured_at: frame.capturedAt } as Head);
    } else this.later = known;
  }

  /** The last picture that was kept, where there is none yet; asked for once. */
  async kept(): Promise<void> {
    if (this.frame.value || this.hasAsked) return;
    this.hasAsked = true;
    try {
      const path = `/cameras/${encodeURIComponent(this.name)}/picture`;
      const answer = await fetch(address(path), { credentials: "same-origin" });
      if (!answer.ok) return;
      const bitmap = await createImageBitmap(await answer.blob());
      const capturedAt = Number(answer.headers.get("X-Captured-At")) || now();
      if (this.frame.value) bitmap.close();
      else {
        this.onShape(bitmap.width / bitmap.height);
        this.frame.value = { bitmap, capturedAt, known: null };
      }
    } catch {
      // There is a live picture soon, or a sentence says why not.
    }
  }

  private async decode(): Promise<void> {
    this.isDecoding = true;
    while (this.next) {
      const { head, jpeg } = this.next;
      this.next = null;
      try {
        const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
        const before = this.frame.value;
        const known = this.later && isOfFrame(this.later, head) ? this.later : head;
        this.later = null;
        this.trails.add({ ...head, ...known });
        this.frame.value = { bitmap, capturedAt: head.captured_at, known };
        before?.bitmap.close();
      } catch {
        // A picture that is damaged: the one before it stays, with its age.
      }
    }
    this.isDecoding = false;
  }
}

export class Wall {
  readonly socket = new LiveSocket({
    onPicture: (head, jpeg) => {
      this.shape(head.w / head.h);
      this.view(head.camera).show(head, jpeg);
    },
    onText: (text) => this.hear(text),
  });
  readonly engines = signal<Record<string, EngineFacts>>({});
  /** What is wrong with live pictures as a whole. */
  readonly trouble = signal<string | null>(null);
  /** UTC seconds of the server, moved on twice a second: what ages are reckoned by. */
  readonly now = signal(now());
  /** Width ÷ height of the tiles: of the first picture, as most walls have cameras of one kind. */
  readonly aspect = signal(16 / 9);
  private hasAspect = false;
  private readonly views = new Map<string, CameraView>();
  private ticking: ReturnType<typeof setInterval> | undefined;
  private ahead = 0;

  view(camera: string): CameraView {
    let found = this.views.get(camera);
    if (!found) {
      found = new CameraView(camera, (ratio) => this.shape(ratio));
      this.views.set(camera, found);
    }
    return found;
  }

  private shape(ratio: number): void {
    if (!this.hasAspect) this.aspect.value = Math.min(Math.max(ratio, 1.2), 2);
    this.hasAspect = true;
  }

  start(): void {
    this.ticking = setInterval(() => {
      this.now.value = now() + this.ahead;
    }, 500);
    this.socket.start();
  }

  stop(): void {
    clearInterval(this.ticking);
    this.socket.stop();
  }

  private hear(text: Text): void {
    if (text.type === "boxes") return this.view(text.camera).learn(text);
    this.ahead = text.now - now();
    this.engines.value = text.engines;
    this.trouble.value = text.trouble;
    for (const [name, facts] of Object.entries(text.cameras)) {
      const view = this.view(name);
      view.facts.value = facts;
      view.eventsBefore.value ??= facts.events;
    }
  }
}
