import assert from "node:assert/strict";
import { test } from "node:test";
import { beginAt, nextOf, problemOf, secretOf } from "./addresses.ts";

test("after signing in one stays in the application", () => {
  assert.equal(nextOf("/events?camera=door"), "/events?camera=door");
  const elsewhere = ["//x.example", "/\\x.example", "https://x.example", "javascript:1", "x", ""];
  for (const wanted of [...elsewhere, null, "/sign-in", "/sign-in?next=/", "/set-up"]) {
    assert.equal(nextOf(wanted), "/", String(wanted));
  }
  assert.equal(nextOf("/sign-ins"), "/sign-ins");
});

test("a secret is taken as it was made, or not at all", () => {
  const secret = "a".repeat(43);
  assert.equal(secretOf(`#${secret}`), secret);
  assert.equal(secretOf(`#guest=${secret}`, "guest"), secret);
  assert.equal(secretOf(`#${secret}`, "guest"), null);
  for (const wrong of ["", "#", "#content", `#${secret}x`]) assert.equal(secretOf(wrong), null);
});

test("the provider is reached with the place to come back to, and its failures are known ones", () => {
  const url = "https://shop.example/api/v1/session/oidc";
  assert.equal(beginAt(url, "/"), url);
  assert.equal(beginAt(url, "/events?camera=a&b"), `${url}?next=%2Fevents%3Fcamera%3Da%26b`);
  assert.equal(problemOf("no_role"), "no_role");
  for (const said of [null, "", "constructor", "Call 0800 1234"]) assert.equal(problemOf(said), null);
});
