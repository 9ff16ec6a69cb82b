import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { Texts } from "./language.ts";

const SOURCES = join(import.meta.dirname, "..");
const files = globSync("**/texts.ts", { cwd: SOURCES }).sort();

async function textsOf(file: string): Promise<Texts> {
  const module = (await import(join(SOURCES, file))) as { texts: Texts };
  return module.texts;
}

const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]).sort();

test("every text is there in both languages, with the same values in it", async () => {
  assert.ok(files.length > 5);
  for (const file of files) {
    const { en, de } = await textsOf(file);
    assert.deepEqual(Object.keys(de).sort(), Object.keys(en).sort(), file);
    for (const [key, text] of Object.entries(en)) {
      assert.ok(text && de[key], `${file}: ${key} is empty`);
      assert.deepEqual(placeholders(de[key] ?? ""), placeholders(text), `${file}: ${key}`);
    }
  }
});

test("no two areas have a text of the same name", async () => {
  const owners = new Map<string, string>();
  for (const file of files) {
    for (const key of Object.keys((await textsOf(file)).en)) {
      assert.equal(owners.get(key), undefined, `${key} is in ${file} and in ${owners.get(key)}`);
      owners.set(key, file);
    }
  }
});

test("every text that is asked for by its name is there", async () => {
  const shared = (await textsOf(join("app", "texts.ts"))).en;
  for (const file of globSync("**/*.{ts,tsx}", { cwd: SOURCES })) {
    if (file.endsWith(".test.ts")) continue;
    const known = { ...shared };
    const area = /^views\/[^/]+/.exec(file)?.[0];
    const own = files.find((one) => area !== undefined && dirname(one) === area);
    if (own) Object.assign(known, (await textsOf(own)).en);
    const source = readFileSync(join(SOURCES, file), "utf8");
    for (const [, which, key = ""] of source.matchAll(/\b(tn?)\(\s*"([^"]+)"/g)) {
      const wanted = which === "tn" ? [`${key}.one`, `${key}.other`] : [key];
      for (const one of wanted) assert.ok(one in known, `${file}: there is no text ${one}`);
    }
  }
});
