// All changes of the shop, as server-sent events. The EventSource of the browser resumes by itself: the id of each
// event is its cursor, which it sends when it connects again.

const TIMEOUT = 15_000; // ms for an HTTP response
const RETRY_AFTER = 5_000; // ms
export const KINDS = ["book", "review", "product", "stock", "hold"];
const CHANGES = {
  book: ["created", "changed", "deleted"],
  review: ["created", "changed", "deleted", "hidden", "shown"],
  product: ["created", "changed", "archived", "restored"],
  stock: ["changed"],
  hold: ["created", "committed", "released"],
};
const NO_STREAM =
  "Changes are not pushed because there is no event stream: the service runs as wsgi:app instead of asgi:app, " +
  "or a proxy rejects it. Trying again";
const PASSED = "Disconnected for too long: some changes are not shown. ";

export class Changes {
  // `kinds` are some of KINDS; what followed `cursor` comes first. `view` has `change(event)` and
  // `state(name, text, until)`.
  constructor(kinds, view, cursor = "now") {
    Object.assign(this, { view, types: typesOf(kinds), cursor });
    this.online = () => this.retryNow();
    addEventListener("online", this.online);
    this.start();
  }

  stop() {
    this.stopped = true;
    this.source?.close();
    clearTimeout(this.timer);
    removeEventListener("online", this.online);
  }

  // Reads a page first: it tells the cursor of now, and, unlike an EventSource, why a request is refused.
  async start(prefix = "") {
    this.timer = null;
    this.view.state("connecting", `${prefix}Connecting …`);
    const found = await read(`changes?after=${this.cursor}&limit=1`);
    if (this.stopped) return;
    if (found.status === 410 && this.cursor !== "now") {
      this.cursor = "now";
      return this.start(PASSED);
    }
    if (!found.ok) return this.retryLater(`${found.detail} Trying again`);
    if (this.cursor === "now") this.cursor = found.cursor;
    this.connect(prefix);
  }

  connect(prefix) {
    const filter = this.types ? `&type=${this.types}` : "";
    this.source = new EventSource(`changes?after=${this.cursor}${filter}`);
    let opened = false;
    this.source.onopen = () => {
      this.view.state("live", `${prefix}Live${opened ? " again" : ""}: changes appear at the top.`);
      opened = true;
      prefix = "";
    };
    this.source.onmessage = ({ data, lastEventId }) => {
      this.cursor = lastEventId;
      this.view.change(JSON.parse(data));
    };
    this.source.onerror = () => {
      if (this.source.readyState === EventSource.CONNECTING) {
        return this.view.state("waiting", "The connection was lost; reconnecting");
      }
      // It has been refused. After a stream that worked, the next read tells why; the first one could be read as a page.
      if (opened) this.start();
      else this.retryLater(NO_STREAM);
    };
  }

  retryLater(text) {
    this.view.state("waiting", text, Date.now() + RETRY_AFTER);
    this.timer = setTimeout(() => this.start(), RETRY_AFTER);
  }

  retryNow() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.start();
  }
}

// Returns null for all types.
function typesOf(kinds) {
  if (kinds.length === KINDS.length) return null;
  return kinds.flatMap((kind) => CHANGES[kind].map((change) => `${kind}.${change}`)).join(",");
}

async function read(path) {
  const signal = AbortSignal.timeout(TIMEOUT);
  const response = await fetch(path, { cache: "no-store", signal }).catch(() => null);
  const body = await response?.json().catch(() => ({}));
  const detail = body?.detail ?? (response ? `The service returned ${response.status}.` : "The service cannot be reached.");
  return { ok: response?.ok, status: response?.status, cursor: body?.cursor, detail };
}

// Returns what an event is about in one line, and the path of the page or resource that shows it; null if there is none.
export function describe({ type, data }) {
  const [kind, change] = type.split(".");
  const product = () => `${data.name} (${data.sku})`;
  const gone = change === "deleted" || change === "hidden";
  const describers = {
    book: () => [gone ? `Book ${data.id}` : `${data.title}, by ${data.author}`, gone ? null : `live?book=${data.id}`],
    review: () => [
      gone ? `Review ${data.id} of book ${data.book_id}` : `${data.rating} of 5 by ${data.reviewer}: ${data.text}`,
      `live?book=${data.book_id}`,
    ],
    product: () => [`${product()}, ${data.price}`, `products/${data.id}`],
    stock: () => [
      `${product()}: ${data.delta > 0 ? "+" : "−"}${Math.abs(data.delta)}, now ${data.stock_level}${note(data.reason)}`,
      `products/${data.id}`,
    ],
    hold: () => [`${data.quantity} of product ${data.product_id}${note(data.reason)}`, `products/${data.product_id}`],
  };
  const [text, path] = describers[kind]?.() ?? [JSON.stringify(data), null];
  return { text, path };
}

const note = (reason) => (reason ? ` (${reason})` : "");
