// graphql-ws, the reference client of graphql-transport-ws.

import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { ADDED, BEARER, BOOK, CURSOR, WEBSOCKET, control, commonTests, review, take, texts } from "./service.js";

const options = { url: WEBSOCKET, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams: BEARER };

commonTests(test, assert, (t) => {
  const client = createClient(options);
  t.after(() => client.dispose());
  return client;
});

test("the client reconnects and its subscription continues", { timeout: 60_000 }, async (t) => {
  const retryWait = () => new Promise((go) => setTimeout(go, 200));
  const client = createClient({ ...options, retryAttempts: 100, retryWait, shouldRetry: () => true });
  t.after(() => client.dispose());
  const { value } = await client.iterate({ query: CURSOR }).next();
  const variables = { book: BOOK, after: value.data.eventCursor };
  const events = client.iterate({ query: ADDED, variables });
  await review("first");
  assert.deepEqual(texts(await take(events, 1)), ["first"]);
  await control("stop");
  await control("start");
  // It subscribes again with the first cursor, so the first event arrives again.
  assert.deepEqual(texts(await take(events, 1)), ["first"]);
});

for (const [name, params] of [
  ["an invalid key", { Authorization: "Bearer bks_000000000000_wrong" }],
  ["no key", {}],
]) {
  test(`${name} closes with 4403`, async (t) => {
    const client = createClient({ ...options, connectionParams: params });
    t.after(() => client.dispose());
    await assert.rejects(client.iterate({ query: CURSOR }).next(), { code: 4403 });
  });
}

async function closeCode(socket) {
  const [code] = await once(socket, "close");
  return code;
}

async function connect(t) {
  const socket = new WebSocket(WEBSOCKET, "graphql-transport-ws");
  t.after(() => socket.terminate());
  await once(socket, "open");
  return socket;
}

const send = (socket, message) => socket.send(JSON.stringify(message));
const init = (socket) => send(socket, { type: "connection_init", payload: BEARER });

test("no connection_init closes with 4408", { timeout: 30_000 }, async (t) => {
  assert.equal(await closeCode(await connect(t)), 4408);
});

test("a second connection_init closes with 4429", async (t) => {
  const socket = await connect(t);
  init(socket);
  init(socket);
  assert.equal(await closeCode(socket), 4429);
});

test("subscribing before the acknowledgement closes with 4401", async (t) => {
  const socket = await connect(t);
  send(socket, { id: "1", type: "subscribe", payload: { query: CURSOR } });
  assert.equal(await closeCode(socket), 4401);
});

test("an id in use closes with 4409", async (t) => {
  const socket = await connect(t);
  init(socket);
  await once(socket, "message");
  const subscribe = { id: "1", type: "subscribe", payload: { query: ADDED } };
  send(socket, subscribe);
  send(socket, subscribe);
  assert.equal(await closeCode(socket), 4409);
});

test("a malformed message closes with 4400", async (t) => {
  const socket = await connect(t);
  socket.send("not JSON");
  assert.equal(await closeCode(socket), 4400);
});

test("another subprotocol is not accepted", async (t) => {
  const socket = new WebSocket(WEBSOCKET, "graphql-ws");
  t.after(() => socket.terminate());
  await assert.rejects(once(socket, "open"));
});
