// graphql-sse, the reference client of GraphQL over Server-Sent Events, in "distinct connections" mode.

import assert from "node:assert/strict";
import test from "node:test";
import { createClient } from "graphql-sse";
import { CURSOR, BEARER, STREAM, promises } from "./shop.js";

const options = { url: STREAM, retryAttempts: 0, headers: BEARER };

promises(test, assert, (t) => {
  const client = createClient(options);
  t.after(() => client.dispose());
  return client;
});

for (const [name, headers] of [
  ["a wrong key", { Authorization: "Bearer bks_000000000000_wrong" }],
  ["no key", {}],
]) {
  test(`${name} is answered 401`, async (t) => {
    const client = createClient({ ...options, headers });
    t.after(() => client.dispose());
    await assert.rejects(client.iterate({ query: CURSOR }).next(), (error) => error.response.status === 401);
  });
}
