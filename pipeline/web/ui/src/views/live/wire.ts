/** What comes over the wire of the live wall: pictures with their header, and news as text. */

export type BoxState = "idle" | "counted" | "alarm";
export type Point = readonly [number, number];

/** label, track, score, x0, y0, x1, y1, state, feet x, feet y; places in 0..1 of the picture. */
export type WireBox = readonly [
  string,
  number | null,
  number,
  number,
  number,
  number,
  number,
  BoxState,
  number,
  number,
];

/** What is known of a frame; `answered` is false where nobody has looked at it yet. */
export interface Known {
  camera: string;
  run: string;
  seq: number;
  answered: boolean | "failed";
  boxes: readonly WireBox[];
  points: readonly Point[];
  /** Answers in words and numbers, by task. */
  said: Readonly<Record<string, string>>;
  /** Rules whose happening goes on. */
  alarms: readonly string[];
}

export interface Head extends Known {
  captured_at: number;
  sent_at: number;
  w: number;
  h: number;
  /** Pictures that this connection lost by being slow, since it began. */
  drops: number;
}

export interface CameraFacts {
  state: string;
  sentence?: string;
  fps?: number;
  lost?: number;
  reason?: string;
  /** The frames a second that the file asks for, where it is sampled more slowly. */
  slower?: number;
  counts?: Record<string, Record<string, number | null>>;
  events: number;
}

export interface EngineFacts {
  waiting?: number;
  oldest_s?: number;
}

export interface StateText {
  type: "state";
  now: number;
  trouble: string | null;
  engines: Record<string, EngineFacts>;
  cameras: Record<string, CameraFacts>;
}

export interface BoxesText extends Known {
  type: "boxes";
}

export type Text = StateText | BoxesText;

export interface Wish {
  camera: string;
  /** In pixels of the screen. */
  width: number;
  fps: number;
}

/** The header and the JPEG of a binary message; null where it is none. */
export function readPicture(data: ArrayBuffer): { head: Head; jpeg: Uint8Array<ArrayBuffer> } | null {
  if (data.byteLength < 4) return null;
  const length = new DataView(data).getUint32(0);
  if (4 + length > data.byteLength) return null;
  try {
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as Head;
    return { head, jpeg: new Uint8Array(data, 4 + length) };
  } catch {
    return null;
  }
}

/** Whether what became known later is about the frame that is shown. */
export function isOfFrame(known: Known, shown: Known | null): boolean {
  return (
    shown !== null &&
    known.camera === shown.camera &&
    known.run === shown.run &&
    known.seq === shown.seq
  );
}
