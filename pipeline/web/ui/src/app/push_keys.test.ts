import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, deviceName, hourOf, idOf, minuteOf } from "./push_keys.ts";

test("keys are read without padding", () => {
  assert.deepEqual([...bytesOf("-_8A")], [251, 255, 0]);
  assert.deepEqual([...bytesOf("AQ")], [1]);
});

test("an id is that of the server", async () => {
  assert.equal(await idOf("abc"), "ba7816bf8f01cfea414140de");
});

test("a device is named by its browser and its system", () => {
  const chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36";
  assert.equal(deviceName(`Mozilla/5.0 (Linux; Android 16; Pixel 9) ${chrome}`), "Chrome, Android");
  assert.equal(deviceName(`Mozilla/5.0 (Windows NT 10.0) ${chrome} Edg/140.0`), "Edge, Windows");
  assert.equal(deviceName("curl/8"), "");
});

test("minutes of the day go there and back", () => {
  assert.equal(hourOf(0), "00:00");
  assert.equal(hourOf(1439), "23:59");
  assert.equal(minuteOf("22:30"), 1350);
  assert.equal(minuteOf("24:00"), null);
  assert.equal(minuteOf(""), null);
});
