// The service under test, and how the tests control it: see ../__main__.py.

export const { SERVICE, OTHER, CONTROLLER, KEY, BOOK } = process.env;
export const WEBSOCKET = `${SERVICE.replace("http", "ws")}/graphql`;
export const STREAM = `${SERVICE}/graphql/stream`;
export const BEARER = { Authorization: `Bearer ${KEY}` };

export const CURSOR = "{ eventCursor }";
export const ADDED = `subscription ($book: ID, $after: String) {
  reviewAdded(bookId: $book, after: $after) { cursor review { id bookId rating reviewer text } }
}`;
export const ADD = `mutation ($book: ID!, $text: String!) {
  addReview(bookId: $book, rating: 4, reviewer: "Ana", text: $text) { id text }
}`;

async function post(address, body, headers = {}) {
  const response = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body });
  if (!response.ok) throw new Error(`${address}: ${response.status} ${await response.text()}`);
  return response;
}

// Adds a review by REST, through this service or another one with the same database.
export async function review(text, service = SERVICE) {
  const body = JSON.stringify({ rating: 5, reviewer: "Ben", text });
  return (await post(`${service}/books/${BOOK}/reviews`, body, BEARER)).json();
}

// Runs the action stop, crash or start, and waits until it is complete.
export const control = (action) => post(`${CONTROLLER}/${action}`, "");

// Returns the next `count` values of an async iterator.
export async function take(iterator, count) {
  const taken = [];
  while (taken.length < count) {
    const { value, done } = await iterator.next();
    if (done) throw new Error(`ended after ${taken.length} of ${count}`);
    if (value.errors) throw new Error(JSON.stringify(value.errors));
    taken.push(value.data.reviewAdded);
  }
  return taken;
}

export const texts = (events) => events.map(({ review: { text } }) => text);

// The same tests for each protocol: `open()` returns a client with `iterate()` and `dispose()`.
export function commonTests(test, assert, open) {
  const within = { timeout: 60_000 };
  const execute = async (client, query, variables) => (await client.iterate({ query, variables }).next()).value;
  const subscribe = (client, after) => client.iterate({ query: ADDED, variables: { book: BOOK, after } });

  test("a query and a mutation are answered", within, async (t) => {
    const client = open(t);
    assert.match((await execute(client, CURSOR)).data.eventCursor, /./);
    const made = await execute(client, ADD, { book: BOOK, text: "By mutation" });
    assert.equal(made.data.addReview.text, "By mutation");
  });

  test("a subscriber receives what is added after its cursor, in order", within, async (t) => {
    const client = open(t);
    const { eventCursor } = (await execute(client, CURSOR)).data;
    const events = subscribe(client, eventCursor);
    await review("one");
    await review("two");
    assert.deepEqual(texts(await take(events, 2)), ["one", "two"]);
    await execute(client, ADD, { book: BOOK, text: "three" });
    assert.deepEqual(texts(await take(events, 1)), ["three"]);
    await events.return();
  });

  test("an invalid cursor gets an error with a code", within, async (t) => {
    const client = open(t);
    const result = await subscribe(client, "not a cursor").next().catch((errors) => ({ value: { errors } }));
    assert.ok(result.value.errors[0].extensions.code, JSON.stringify(result));
  });

  for (const action of ["stop", "crash"]) {
    test(`after a ${action} a subscription resumes without gaps or repeats`, { timeout: 120_000 }, async (t) => {
      const { eventCursor } = (await execute(open(t), CURSOR)).data;
      const before = subscribe(open(t), eventCursor);
      await review(`before the ${action}`);
      const [last] = await take(before, 1);
      const broken = before.next().then((message) => (message.done ? "ended" : message), () => "broken");
      await control(action);
      assert.match(await broken, /ended|broken/);
      await review("meanwhile, 1", OTHER);
      await review("meanwhile, 2", OTHER);
      await control("start");
      const again = subscribe(open(t), last.cursor);
      await review("and after");
      assert.deepEqual(texts(await take(again, 3)), ["meanwhile, 1", "meanwhile, 2", "and after"]);
      await again.return();
    });
  }
}
