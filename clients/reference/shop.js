// What the tests know of the service, and what they may have done to it: see ../__main__.py.

export const { SHOP, OTHER, DRIVER, KEY, BOOK } = process.env;
export const SOCKET = `${SHOP.replace("http", "ws")}/graphql`;
export const STREAM = `${SHOP}/graphql/stream`;
export const BEARER = { Authorization: `Bearer ${KEY}` };

export const CURSOR = "{ eventCursor }";
export const ADDED = `subscription ($book: ID, $after: String) {
  reviewAdded(bookId: $book, after: $after) { cursor review { id bookId rating reviewer text } }
}`;
export const ADD = `mutation ($book: ID!, $text: String!) {
  addReview(bookId: $book, rating: 4, reviewer: "Ana", text: $text) { id text }
}`;

async function post(address, body, headers = {}) {
  const answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body });
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${await answer.text()}`);
  return answer;
}

// Adds a review by REST, through this service or through another one on the same database.
export async function review(text, shop = SHOP) {
  const body = JSON.stringify({ rating: 5, reviewer: "Ben", text });
  return (await post(`${shop}/books/${BOOK}/reviews`, body, BEARER)).json();
}

// `what` is stop, crash or start; it is done when this returns.
export const drive = (what) => post(`${DRIVER}/${what}`, "");

// Takes `count` values of an async iterator, and leaves the rest.
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

// The same for each protocol: `open()` gives a client with iterate(), and `dispose()`.
export function promises(test, assert, open) {
  const within = { timeout: 60_000 };
  const ask = async (client, query, variables) => (await client.iterate({ query, variables }).next()).value;
  const follow = (client, after) => client.iterate({ query: ADDED, variables: { book: BOOK, after } });

  test("a query and a mutation are answered", within, async (t) => {
    const client = open(t);
    assert.match((await ask(client, CURSOR)).data.eventCursor, /./);
    const made = await ask(client, ADD, { book: BOOK, text: "By mutation" });
    assert.equal(made.data.addReview.text, "By mutation");
  });

  test("a subscriber receives what is added after its cursor, in order", within, async (t) => {
    const client = open(t);
    const { eventCursor } = (await ask(client, CURSOR)).data;
    const events = follow(client, eventCursor);
    await review("one");
    await review("two");
    assert.deepEqual(texts(await take(events, 2)), ["one", "two"]);
    await ask(client, ADD, { book: BOOK, text: "three" });
    assert.deepEqual(texts(await take(events, 1)), ["three"]);
    await events.return();
  });

  test("a wrong cursor is told by its code", within, async (t) => {
    const client = open(t);
    const said = await follow(client, "not a cursor").next().catch((errors) => ({ value: { errors } }));
    assert.ok(said.value.errors[0].extensions.code, JSON.stringify(said));
  });

  for (const end of ["stop", "crash"]) {
    test(`after a ${end} it goes on where it was, without gap or repeat`, { timeout: 120_000 }, async (t) => {
      const { eventCursor } = (await ask(open(t), CURSOR)).data;
      const before = follow(open(t), eventCursor);
      await review(`before the ${end}`);
      const [last] = await take(before, 1);
      const broken = before.next().then((result) => (result.done ? "ended" : result), () => "broken");
      await drive(end);
      assert.match(await broken, /ended|broken/);
      await review("meanwhile, 1", OTHER);
      await review("meanwhile, 2", OTHER);
      await drive("start");
      const again = follow(open(t), last.cursor);
      await review("and after");
      assert.deepEqual(texts(await take(again, 3)), ["meanwhile, 1", "meanwhile, 2", "and after"]);
      await again.return();
    });
  }
}
