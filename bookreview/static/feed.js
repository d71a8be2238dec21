// The reviews of one book or of all: first a list, then each new one, across any number of lost connections.
//
// The list is loaded together with the event cursor from before it was read, and the subscription starts after that
// cursor, so no review is missed. A review that arrives twice, in the list and as an event, has the same id.

import { subscribe } from "./websocket.js";

const LIST_QUERY = `query ($book: ID!) {
  eventCursor
  book(id: $book) { id title author }
  reviews(bookId: $book, first: 50) { nodes { id bookId bookTitle rating reviewer text createdAt } }
}`;
const LIST_OF_ALL_QUERY = `{
  eventCursor
  reviews(first: 50) { nodes { id bookId bookTitle rating reviewer text createdAt } }
}`;
const SUBSCRIPTION = `subscription ($book: ID, $after: String) {
  reviewAdded(bookId: $book, after: $after) {
    cursor
    review { id bookId bookTitle rating reviewer text createdAt }
  }
}`;
const MAX_BACKOFF = 10_000; // ms
const CAUGHT_UP_AFTER = 400; // ms without an event: all missed events have arrived
const CAUGHT_UP_AT_LAST = 3_000; // ms after which they have arrived even if events never pause
const TIMEOUT = 15_000; // ms for an HTTP response
const BAD_KEY = 4403;
const OVERLOADED = 1013;

const KEY_ERRORS = { 401: "UNAUTHENTICATED", 403: "FORBIDDEN" };
const NO_WEBSOCKET =
  "New reviews are not pushed because there is no WebSocket: the service runs as wsgi:app instead of asgi:app, " +
  "or a proxy or ALLOWED_ORIGINS rejects this page. Trying again";

export class Feed {
  // `book` is null for all books. `view` has `list(data)`, `review(review)` (returns false for a known review), `nothing(reason)`, which replaces both,
  // and `state(name, text, until)`.
  constructor(book, key, view) {
    Object.assign(this, { book, key, view, tries: 0, rejections: 0, missed: null, unsubscribe: () => {} });
    this.online = () => this.retryNow();
    addEventListener("online", this.online);
    this.load();
  }

  stop() {
    this.stopped = true;
    this.unsubscribe();
    this.schedule(null);
    clearTimeout(this.quiet);
    removeEventListener("online", this.online);
  }

  async load(prefix = "") {
    this.cursor = null;
    this.view.state("connecting", `${prefix}Connecting …`);
    let response;
    try {
      const one = this.book !== null;
      response = await query(this.key, one ? LIST_QUERY : LIST_OF_ALL_QUERY, one ? { book: this.book } : {});
    } catch (error) {
      return this.handleError(error);
    }
    if (this.stopped) return;
    this.cursor = response.data.eventCursor;
    this.view.list(response.data);
    this.connect(prefix);
  }

  handleError({ message, code }) {
    if (this.stopped) return;
    if (code === "UNAUTHENTICATED" || code === "FORBIDDEN") return this.requireKey();
    if (code === "NOT_FOUND") return this.notFound(message);
    this.retryLater(`${message} Trying again`);
  }

  // Without a retry, which would find no book either.
  notFound(message) {
    this.view.nothing(message);
    this.view.state("stopped", message);
  }

  connect(prefix = "") {
    const url = new URL("graphql", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const payload = { query: SUBSCRIPTION, variables: { book: this.book, after: this.cursor } };
    this.unsubscribe = subscribe(url, this.key, payload, {
      live: () => this.live(prefix),
      next: (result) => (result.errors ? this.failed(result.errors) : this.event(result.data.reviewAdded)),
      failed: (errors) => this.failed(errors),
      closed: (how) => this.closed(how),
    });
  }

  live(prefix) {
    this.rejections = 0;
    if (this.missed === null) {
      this.tries = 0;
      this.view.state("live", `${prefix}Live: new reviews appear at the top.`);
    } else {
      this.waitUntilCaughtUp();
    }
  }

  event({ cursor, review }) {
    this.cursor = cursor;
    const isNew = this.view.review(review);
    if (this.missed === null) return;
    this.missed += isNew ? 1 : 0;
    this.waitUntilCaughtUp();
  }

  // After a reconnect the missed reviews arrive at once; then their number is shown.
  waitUntilCaughtUp() {
    clearTimeout(this.quiet);
    this.deadline ??= Date.now() + CAUGHT_UP_AT_LAST;
    this.quiet = setTimeout(() => {
      this.view.state("live", `Live again: resumed, ${this.missed} missed while disconnected.`);
      this.tries = 0;
      this.missed = null;
    }, Math.min(CAUGHT_UP_AFTER, Math.max(0, this.deadline - Date.now())));
  }

  failed(errors) {
    this.unsubscribe();
    clearTimeout(this.quiet);
    if (errors.some((error) => error.extensions?.code === "WINDOW_PASSED")) {
      this.missed = null;
      return this.load("Disconnected for too long to resume; the list was reloaded. ");
    }
    this.handleError(new Failure(errors[0]?.message ?? "The subscription failed.", errors[0]?.extensions?.code));
  }

  async closed({ code, opened }) {
    clearTimeout(this.quiet);
    if (code === BAD_KEY) return this.requireKey();
    if (code === OVERLOADED) this.tries = Math.max(this.tries, 4);
    this.rejections += opened ? 0 : 1;
    this.retryLater(this.rejections > 1 && (await isReachable()) ? NO_WEBSOCKET : "");
  }

  requireKey() {
    this.view.state("stopped", "The service requires a valid API key; please enter one.");
  }

  // Full jitter: many pages whose server went down do not reconnect at the same time.
  retryLater(text) {
    if (this.stopped) return;
    const max = Math.min(MAX_BACKOFF, 500 * 2 ** this.tries);
    const delay = 50 + Math.random() * max;
    this.tries += 1;
    this.view.state("waiting", text || "The connection was lost; reconnecting", Date.now() + delay);
    this.schedule(delay);
  }

  retryNow() {
    if (this.timer) this.retry();
  }

  schedule(delay) {
    clearTimeout(this.timer);
    this.timer = delay === null ? null : setTimeout(() => this.retry(), delay);
  }

  retry() {
    this.schedule(null);
    if (this.cursor === null) return this.load();
    this.missed ??= 0;
    this.deadline = null;
    this.view.state("connecting", "Reconnecting …");
    this.connect();
  }
}

async function isReachable() {
  try {
    return (await fetch("healthz", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) })).ok;
  } catch {
    return false;
  }
}

async function query(key, document, variables) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const body = JSON.stringify({ query: document, variables });
  const signal = AbortSignal.timeout(TIMEOUT);
  const response = await fetch("graphql", { method: "POST", headers, body, signal }).catch(() => null);
  if (response === null) throw new Failure("The service cannot be reached.");
  const result = await response.json().catch(() => ({}));
  const error = result.errors?.[0];
  if (error) throw new Failure(error.message, error.extensions?.code);
  if (response.ok && result.data) return result;
  throw new Failure(result.detail ?? `The service returned ${response.status}.`, KEY_ERRORS[response.status]);
}

class Failure extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}
