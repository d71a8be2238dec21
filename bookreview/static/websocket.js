// A client of graphql-transport-ws: one subscription on one WebSocket.

const PING_INTERVAL = 10_000; // ms; without any message until the next ping the connection counts as dead
export const DEAD = 4000; // our own close code for a dead connection

// `handler` has `live()`, `next(payload)`, `failed(errors)` and `closed({ code, opened })`.
// Returns a function that unsubscribes without calling `handler` again.
export function subscribe(url, key, payload, handler) {
  const socket = new WebSocket(url, "graphql-transport-ws");
  const send = (message) => socket.send(JSON.stringify(message));
  let opened = false;
  let silent = false;

  const receivers = {
    connection_ack() {
      send({ id: "1", type: "subscribe", payload });
      handler.live();
    },
    ping: () => send({ type: "pong" }),
    next: (message) => handler.next(message.payload),
    error: (message) => handler.failed(message.payload),
    complete: () => end(1000),
  };

  const pings = setInterval(() => {
    if (silent) return end(DEAD);
    silent = true;
    if (socket.readyState === WebSocket.OPEN) send({ type: "ping" });
  }, PING_INTERVAL);

  function unsubscribe() {
    clearInterval(pings);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  function end(code) {
    unsubscribe();
    handler.closed({ code, opened });
  }

  socket.onopen = () => {
    opened = true;
    send({ type: "connection_init", payload: key ? { Authorization: `Bearer ${key}` } : {} });
  };
  socket.onmessage = ({ data }) => {
    silent = false;
    const message = JSON.parse(data);
    receivers[message.type]?.(message);
  };
  socket.onclose = ({ code }) => end(code);
  return unsubscribe;
}
