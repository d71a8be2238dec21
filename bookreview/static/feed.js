// The reviews of one book: first a list, then each new one, over any number of broken connections.
//
// The list comes with the cursor of the events as they stood before it was read, and the subscription starts
// after that cursor: nothing falls between. What comes twice, in the list and as an event, has the same id.

import { subscribe } from "./wire.js";

const FRESH = `query ($book: ID!) {
  eventCursor
  book(id: $book) { id title author }
  reviews(bookId: $book, first: 50) { nodes { id bookId rating reviewer text createdAt } }
}`;
const ADDED = `subscription ($book: ID, $after: String) {
  reviewAdded(bookId: $book, after: $after) { cursor review { id bookId rating reviewer text createdAt } }
}`;
const LONGEST_WAIT = 10_000; // ms
const QUIET = 400; // ms without an event: what was missed has come
const SETTLED = 3_000; // ms after which it has come even where events never pause
const PATIENCE = 15_000; // ms for an answer by HTTP
const BAD_KEY = 4403;
const OVERLOADED = 1013;

const REFUSED = { 401: "UNAUTHENTICATED", 403: "FORBIDDEN" };
const NO_SOCKET =
  "No WebSocket here, so new reviews are not pushed: the service was started as wsgi:app (asgi:app has it), " +
  "or a proxy or ALLOWED_ORIGINS does not let this page through. Trying again";

export class Feed {
  // `shown` has `list(data)`, `review(review)` (false if it was there already), `nothing(why)` in place of both, and
  // `state(name, words, until)`.
  constructor(book, key, shown) {
    Object.assign(this, { book, key, shown, tries: 0, refused: 0, missed: null, leave: () => {} });
    this.online = () => this.now();
    addEventListener("online", this.online);
    this.fresh();
  }

  stop() {
    this.stopped = true;
    this.leave();
    this.wait(null);
    clearTimeout(this.quiet);
    removeEventListener("online", this.online);
  }

  async fresh(why = "") {
    this.cursor = null;
    this.shown.state("connecting", `${why}Connecting …`);
    let answer;
    try {
      answer = await ask(this.key, FRESH, { book: this.book });
    } catch (error) {
      return this.refusedWith(error);
    }
    if (this.stopped) return;
    this.cursor = answer.data.eventCursor;
    this.shown.list(answer.data);
    this.connect(why);
  }

  refusedWith({ message, code }) {
    if (this.stopped) return;
    if (code === "UNAUTHENTICATED" || code === "FORBIDDEN") return this.refuse();
    if (code === "NOT_FOUND") return this.none(message);
    this.later(`${message} Trying again`);
  }

  // To try again would find none again.
  none(message) {
    this.shown.nothing(message);
    this.shown.state("stopped", message);
  }

  connect(why = "") {
    const address = new URL("graphql", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const payload = { query: ADDED, variables: { book: this.book, after: this.cursor } };
    this.leave = subscribe(address, this.key, payload, {
      live: () => this.live(why),
      next: (given) => (given.errors ? this.failed(given.errors) : this.event(given.data.reviewAdded)),
      failed: (errors) => this.failed(errors),
      closed: (how) => this.closed(how),
    });
  }

  live(why) {
    this.refused = 0;
    if (this.missed === null) {
      this.tries = 0;
      this.shown.state("live", `${why}Live: new reviews appear at the top.`);
    } else {
      this.settle();
    }
  }

  event({ cursor, review }) {
    this.cursor = cursor;
    const isNew = this.shown.review(review);
    if (this.missed === null) return;
    this.missed += isNew ? 1 : 0;
    this.settle();
  }

  // After a resumption the missed ones come at once; when they have, their number is said.
  settle() {
    clearTimeout(this.quiet);
    this.settled ??= Date.now() + SETTLED;
    this.quiet = setTimeout(() => {
      this.shown.state("live", `Live again: resumed, ${this.missed} missed while away.`);
      this.tries = 0;
      this.missed = null;
    }, Math.min(QUIET, Math.max(0, this.settled - Date.now())));
  }

  failed(errors) {
    this.leave();
    clearTimeout(this.quiet);
    if (errors.some((error) => error.extensions?.code === "WINDOW_PASSED")) {
      this.missed = null;
      return this.fresh("Away for too long to resume; the list was loaded anew. ");
    }
    this.refusedWith(new Failure(errors[0]?.message ?? "The subscription failed.", errors[0]?.extensions?.code));
  }

  async closed({ code, opened }) {
    clearTimeout(this.quiet);
    if (code === BAD_KEY) return this.refuse();
    if (code === OVERLOADED) this.tries = Math.max(this.tries, 4);
    this.refused += opened ? 0 : 1;
    this.later(this.refused > 1 && (await answersHttp()) ? NO_SOCKET : "");
  }

  refuse() {
    this.shown.state("stopped", "The service wants a valid API key; please enter one.");
  }

  // Full jitter: many pages whose server went away do not come back in one wave.
  later(why) {
    if (this.stopped) return;
    const most = Math.min(LONGEST_WAIT, 500 * 2 ** this.tries);
    const pause = 50 + Math.random() * most;
    this.tries += 1;
    this.shown.state("waiting", why || "The connection broke; reconnecting", Date.now() + pause);
    this.wait(pause);
  }

  now() {
    if (this.timer) this.again();
  }

  wait(pause) {
    clearTimeout(this.timer);
    this.timer = pause === null ? null : setTimeout(() => this.again(), pause);
  }

  again() {
    this.wait(null);
    if (this.cursor === null) return this.fresh();
    this.missed ??= 0;
    this.settled = null;
    this.shown.state("connecting", "Connecting again …");
    this.connect();
  }
}

async function answersHttp() {
  try {
    return (await fetch("healthz", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) })).ok;
  } catch {
    return false;
  }
}

async function ask(key, query, variables) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const body = JSON.stringify({ query, variables });
  const signal = AbortSignal.timeout(PATIENCE);
  const answer = await fetch("graphql", { method: "POST", headers, body, signal }).catch(() => null);
  if (answer === null) throw new Failure("The service cannot be reached.");
  const said = await answer.json().catch(() => ({}));
  const error = said.errors?.[0];
  if (error) throw new Failure(error.message, error.extensions?.code);
  if (answer.ok && said.data) return said;
  throw new Failure(said.detail ?? `The service answered ${answer.status}.`, REFUSED[answer.status]);
}

class Failure extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}
