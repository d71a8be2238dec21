// graphql-transport-ws, spoken by hand: one subscription on one WebSocket.

const PING_EVERY = 10_000; // ms; a ping that is unanswered until the next one means a dead connection
export const DEAD = 4000; // the close code that we give such a connection ourselves

// `heard` has `live()`, `next(payload)`, `failed(errors)` and `closed({ code, opened })`.
// Returns a function that ends it without a word to `heard`.
export function subscribe(address, key, payload, heard) {
  const socket = new WebSocket(address, "graphql-transport-ws");
  const send = (message) => socket.send(JSON.stringify(message));
  let opened = false;
  let silent = false;

  const answers = {
    connection_ack() {
      send({ id: "1", type: "subscribe", payload });
      heard.live();
    },
    ping: () => send({ type: "pong" }),
    next: (message) => heard.next(message.payload),
    error: (message) => heard.failed(message.payload),
    complete: () => end(1000),
  };

  const watch = setInterval(() => {
    if (silent) return end(DEAD);
    silent = true;
    if (socket.readyState === WebSocket.OPEN) send({ type: "ping" });
  }, PING_EVERY);

  function leave() {
    clearInterval(watch);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  function end(code) {
    leave();
    heard.closed({ code, opened });
  }

  socket.onopen = () => {
    opened = true;
    send({ type: "connection_init", payload: key ? { Authorization: `Bearer ${key}` } : {} });
  };
  socket.onmessage = ({ data }) => {
    silent = false;
    const message = JSON.parse(data);
    answers[message.type]?.(message);
  };
  socket.onclose = ({ code }) => end(code);
  return leave;
}
