// graphql-ws, the reference client of graphql-transport-ws.

import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { ADDED, BEARER, BOOK, CURSOR, SOCKET, drive, promises, review, take, texts } from "./shop.js";

const options = { url: SOCKET, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams: BEARER };

promises(test, assert, (t) => {
  const client = createClient(options);
  t.after(() => client.dispose());
  return client;
});

test("the client itself connects again, and its subscription goes on", { timeout: 60_000 }, async (t) => {
  const retryWait = () => new Promise((go) => setTimeout(go, 200));
  const client = createClient({ ...options, retryAttempts: 100, retryWait, shouldRetry: () => true });
  t.after(() => client.dispose());
  const { value } = await client.iterate({ query: CURSOR }).next();
  const variables = { book: BOOK, after: value.data.eventCursor };
  const events = client.iterate({ query: ADDED, variables });
  await review("first");
  assert.deepEqual(texts(await take(events, 1)), ["first"]);
  await drive("stop");
  await drive("start");
  // It asks again with the cursor that it was given first, so that event comes again.
  assert.deepEqual(texts(await take(events, 1)), ["first"]);
});

for (const [name, params] of [
  ["a wrong key", { Authorization: "Bearer bks_000000000000_wrong" }],
  ["no key", {}],
]) {
  test(`${name} closes with 4403`, async (t) => {
    const client = createClient({ ...options, connectionParams: params });
    t.after(() => client.dispose());
    await assert.rejects(client.iterate({ query: CURSOR }).next(), { code: 4403 });
  });
}

async function ended(socket) {
  const [code] = await once(socket, "close");
  return code;
}

async function opened(t) {
  const socket = new WebSocket(SOCKET, "graphql-transport-ws");
  t.after(() => socket.terminate());
  await once(socket, "open");
  return socket;
}

const send = (socket, message) => socket.send(JSON.stringify(message));
const init = (socket) => send(socket, { type: "connection_init", payload: BEARER });

test("no connection_init closes with 4408", { timeout: 30_000 }, async (t) => {
  assert.equal(await ended(await opened(t)), 4408);
});

test("a second connection_init closes with 4429", async (t) => {
  const socket = await opened(t);
  init(socket);
  init(socket);
  assert.equal(await ended(socket), 4429);
});

test("to subscribe before the acknowledgement closes with 4401", async (t) => {
  const socket = await opened(t);
  send(socket, { id: "1", type: "subscribe", payload: { query: CURSOR } });
  assert.equal(await ended(socket), 4401);
});

test("an id that is in use closes with 4409", async (t) => {
  const socket = await opened(t);
  init(socket);
  await once(socket, "message");
  const subscribe = { id: "1", type: "subscribe", payload: { query: ADDED } };
  send(socket, subscribe);
  send(socket, subscribe);
  assert.equal(await ended(socket), 4409);
});

test("a message that is none of the protocol closes with 4400", async (t) => {
  const socket = await opened(t);
  socket.send("not JSON");
  assert.equal(await ended(socket), 4400);
});

test("another subprotocol is not accepted", async (t) => {
  const socket = new WebSocket(SOCKET, "graphql-ws");
  t.after(() => socket.terminate());
  await assert.rejects(once(socket, "open"));
});
