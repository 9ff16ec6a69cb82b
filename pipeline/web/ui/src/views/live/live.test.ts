import assert from "node:assert/strict";
import { test } from "node:test";
import { ageOf, columnsFor, keyOf, moved, pageOf, Trails } from "./layout.ts";
import { type Head, isOfFrame, readPicture } from "./wire.ts";
import { isSame, Meter, Strain, wishesFor } from "./wishes.ts";

function head(seq: number, at: number, x = 0.5, run = "r"): Head {
  return {
    camera: "door",
    run,
    seq,
    captured_at: at,
    sent_at: at + 0.2,
    w: 320,
    h: 180,
    drops: 0,
    answered: true,
    boxes: [["person", 7, 0.9, 0.4, 0.2, 0.6, 0.8, "idle", x, 0.8]],
    points: [],
    said: {},
    alarms: [],
  };
}

function message(header: string, jpeg: number[]): ArrayBuffer {
  const bytes = new TextEncoder().encode(header);
  const made = new Uint8Array(4 + bytes.length + jpeg.length);
  new DataView(made.buffer).setUint32(0, bytes.length);
  made.set(bytes, 4);
  made.set(jpeg, 4 + bytes.length);
  return made.buffer;
}

test("a message is taken apart, and what is none is nothing", () => {
  const read = readPicture(message(JSON.stringify(head(3, 10)), [255, 216, 9]));
  assert.equal(read?.head.seq, 3);
  assert.deepEqual([...(read?.jpeg ?? [])], [255, 216, 9]);
  assert.equal(readPicture(new ArrayBuffer(2)), null);
  assert.equal(readPicture(message("{", [])), null);
  const tooLong = new Uint8Array([0, 0, 1, 0, 123, 125]);
  assert.equal(readPicture(tooLong.buffer), null);
});

test("boxes that come later are of their own frame or of none", () => {
  assert.equal(isOfFrame(head(3, 10), head(3, 10)), true);
  assert.equal(isOfFrame(head(3, 10), head(4, 10)), false);
  assert.equal(isOfFrame(head(3, 10), head(3, 10, 0.5, "another run")), false);
  assert.equal(isOfFrame(head(3, 10), null), false);
});

test("what is asked for is what is shown, and less on a narrow line", () => {
  const tiles = [
    { camera: "door", width: 400 },
    { camera: "till", width: 0 },
  ];
  assert.deepEqual(wishesFor(tiles, "auto", 1, false), [{ camera: "door", width: 400, fps: 15 }]);
  assert.equal(wishesFor(tiles, "auto", 3, false)[0]?.width, 800);
  assert.deepEqual(wishesFor(tiles, "low", 1, false), [{ camera: "door", width: 200, fps: 1 }]);
  assert.deepEqual(wishesFor(tiles, "auto", 1, true), [{ camera: "door", width: 200, fps: 1 }]);
  assert.equal(wishesFor(tiles, "still", 1, false)[0]?.fps, 0.1);
  const wish = { camera: "door", width: 400, fps: 15 };
  assert.equal(isSame([wish], [{ ...wish, width: 403 }]), true);
  assert.equal(isSame([wish], [{ ...wish, width: 480 }]), false);
  assert.equal(isSame([wish], []), false);
});

test("the meter shows the last seconds", () => {
  const meter = new Meter();
  meter.add(0, 5_000);
  meter.add(1_000, 5_000);
  assert.equal(meter.perSecond(1_000), 2_000);
  assert.equal(meter.perSecond(5_500), 1_000);
  assert.equal(meter.perSecond(60_000), 0);
  assert.equal(meter.total, 10_000);
});

test("a line that loses pictures is spared for a while", () => {
  const strain = new Strain();
  strain.note(0, 10_000);
  for (let n = 1; n <= 40; n++) strain.note(n > 20 ? 6 : 0, 10_000 + n);
  assert.equal(strain.isOn(11_000), false); // six of forty-seven
  strain.note(6, 20_000);
  strain.note(12, 21_000);
  assert.equal(strain.isOn(21_000), true);
  assert.equal(strain.isOn(60_000), false);
  strain.note(0, 70_000); // another connection
  assert.equal(strain.isOn(70_000), false);
});

test("cameras are on pages", () => {
  const all = Array.from({ length: 20 }, (_, index) => index);
  assert.deepEqual(pageOf(all, 16, 1), { shown: [16, 17, 18, 19], page: 1, pages: 2 });
  assert.equal(pageOf(all, 16, 7).page, 1);
  assert.deepEqual(pageOf([], 16, 3), { shown: [], page: 0, pages: 1 });
});

test("a wall fills its screen", () => {
  assert.equal(columnsFor(1, 1600, 900), 1);
  assert.equal(columnsFor(4, 1600, 900), 2);
  assert.equal(columnsFor(16, 1600, 900), 4);
  assert.equal(columnsFor(4, 360, 2000), 1);
});

test("old is what is older than the camera's own pace", () => {
  assert.equal(ageOf(0.4, 10, 0.5), "fresh");
  assert.equal(ageOf(4, 10, 0.5), "old");
  assert.equal(ageOf(11, 10, 0.5), "gone");
  assert.equal(ageOf(8, 10, 10), "fresh");
  assert.equal(ageOf(15, 10, 10), "fresh");
  assert.equal(ageOf(21, 10, 10), "gone");
});

test("arrows stay on the wall", () => {
  assert.equal(moved(0, 6, 3, "right"), 1);
  assert.equal(moved(0, 6, 3, "down"), 3);
  assert.equal(moved(4, 6, 3, "down"), 4);
  assert.equal(moved(0, 6, 3, "left"), 0);
  assert.equal(moved(5, 6, 3, "up"), 2);
});

test("a trail is five seconds long, and ends with its run", () => {
  const trails = new Trails();
  for (let second = 0; second <= 8; second++) trails.add(head(second, second, second / 10));
  assert.deepEqual(trails.of("person", 7).map(([x]) => x), [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
  assert.deepEqual(trails.of("person", 8), []);
  trails.add(head(0, 9, 0.1, "another run"));
  assert.equal(trails.of("person", 7).length, 1);
});

test("keys are left alone where somebody writes", () => {
  const plain = { key: "f", ctrlKey: false, metaKey: false, altKey: false, target: null };
  assert.equal(keyOf(plain), "f");
  assert.equal(keyOf({ ...plain, ctrlKey: true }), null);
  assert.equal(keyOf({ ...plain, target: { tagName: "INPUT" } }), null);
});
