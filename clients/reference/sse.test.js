// graphql-sse, the reference client for server-sent events, in "distinct connections" mode.

import assert from "node:assert/strict";
import test from "node:test";
import { createClient } from "graphql-sse";
import { CURSOR, BEARER, STREAM, commonTests } from "./service.js";

const options = { url: STREAM, retryAttempts: 0, headers: BEARER };

commonTests(test, assert, (t) => {
  const client = createClient(options);
  t.after(() => client.dispose());
  return client;
});

for (const [name, headers] of [
  ["an invalid key", { Authorization: "Bearer bks_000000000000_wrong" }],
  ["no key", {}],
]) {
  test(`${name} gets a 401`, async (t) => {
    const client = createClient({ ...options, headers });
    t.after(() => client.dispose());
    await assert.rejects(client.iterate({ query: CURSOR }).next(), (error) => error.response.status === 401);
  });
}
