/** The one connection of the wall: it asks for what is on the screen and comes back by itself. */

import { signal } from "@preact/signals";
import { nextWaitMs } from "../../app/backoff.ts";
import { readSite } from "../../app/session.ts";
import { bandwidth } from "../../app/settings.ts";
import { type Head, readPicture, type Text, type Wish } from "./wire.ts";
import { isSame, Meter, Strain, wishesFor } from "./wishes.ts";

const SIGNED_OUT = 4401;
const SETTLE_MS = 120;
/** A connection that brings nothing for so long, not even news, is made anew. */
const SILENCE_MS = 30_000;

export interface Receiver {
  onPicture: (head: Head, jpeg: Uint8Array<ArrayBuffer>) => void;
  onText: (text: Text) => void;
}

export class LiveSocket {
  /** Whether it is connected; null before the first try has ended. */
  readonly isOpen = signal<boolean | null>(null);
  /** Bytes a second that came lately. */
  readonly rate = signal(0);
  /** Whether less is asked for because pictures were lost on the way. */
  readonly isStrained = signal(false);
  private readonly receiver: Receiver;
  private socket: WebSocket | null = null;
  private tries = 0;
  private isEnded = false;
  private tiles = new Map<string, number>();
  private asked: Wish[] | null = null;
  private heardAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private settling: ReturnType<typeof setTimeout> | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private readonly meter = new Meter();
  private readonly strain = new Strain();

  constructor(receiver: Receiver) {
    this.receiver = receiver;
  }

  start(): void {
    this.ticking = setInterval(() => this.tick(), 1_000);
    document.addEventListener("visibilitychange", this.settle);
    this.open();
  }

  stop(): void {
    this.isEnded = true;
    clearTimeout(this.timer);
    clearTimeout(this.settling);
    clearInterval(this.ticking);
    document.removeEventListener("visibilitychange", this.settle);
    this.socket?.close();
  }

  /** A tile is on the screen, so many CSS pixels wide; with 0 it is not any more. */
  shows(camera: string, width: number): void {
    if (width > 0) this.tiles.set(camera, width);
    else this.tiles.delete(camera);
    this.settle();
  }

  /** Ask anew, once the layout rests; the first time as soon as all tiles have said their width. */
  readonly settle = (): void => {
    clearTimeout(this.settling);
    // A hidden page gets nothing, and at once.
    if (document.visibilityState === "hidden") this.ask();
    else this.settling = setTimeout(() => this.ask(), this.asked?.length ? SETTLE_MS : 0);
  };

  private open(): void {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/v1/live`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heardAt = performance.now();
    socket.onopen = () => {
      this.tries = 0;
      this.isOpen.value = true;
      this.asked = null;
      this.ask();
    };
    socket.onmessage = ({ data }) => this.hear(data as ArrayBuffer | string);
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      if (this.isEnded) return;
      this.isOpen.value = false;
      // Who is not known any more is led to the sign-in by that.
      if (code === SIGNED_OUT || this.tries === 0) void readSite();
      this.timer = setTimeout(() => this.open(), nextWaitMs(this.tries, Math.random()));
      this.tries += 1;
    };
  }

  private hear(data: ArrayBuffer | string): void {
    const at = performance.now();
    this.heardAt = at;
    if (typeof data === "string") {
      this.meter.add(at, data.length);
      this.receiver.onText(JSON.parse(data) as Text);
      return;
    }
    this.meter.add(at, data.byteLength);
    const picture = readPicture(data);
    if (!picture) return;
    this.strain.note(picture.head.drops, at);
    this.receiver.onPicture(picture.head, picture.jpeg);
  }

  private tick(): void {
    const at = performance.now();
    this.rate.value = this.meter.perSecond(at);
    this.isStrained.value = this.strain.isOn(at);
    this.ask();
    const isSilent = at - this.heardAt > SILENCE_MS && (this.asked?.length ?? 0) > 0;
    if (this.socket?.readyState === WebSocket.OPEN && isSilent) this.socket.close();
  }

  private ask(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const tiles = [...this.tiles].map(([camera, width]) => ({ camera, width }));
    const isHidden = document.visibilityState === "hidden";
    const strained = this.strain.isOn(performance.now());
    const wishes = isHidden
      ? []
      : wishesFor(tiles, bandwidth.value, window.devicePixelRatio, strained);
    if (this.asked && isSame(wishes, this.asked)) return;
    this.asked = wishes;
    this.socket.send(JSON.stringify({ show: wishes }));
  }
}
