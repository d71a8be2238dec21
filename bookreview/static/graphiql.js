// GraphiQL for this service: operations by POST, subscriptions over the WebSocket at the same URL.

const STARTER = `# Run one of these operations with the triangle above or Ctrl-Enter.
# Enter an API key below, under Headers: {"Authorization": "Bearer ..."}
# If the schema requires a key too, reload it then: the two arrows at the left.

query NewestReviews {
  eventCursor
  books(first: 3) {
    nodes { id title author }
  }
  reviews(bookId: 1, first: 5) {
    nodes { rating reviewer text createdAt }
  }
}

# Shows each new review of book 1 as soon as it is added.
subscription NewReviews {
  reviewAdded(bookId: 1) {
    cursor
    review { rating reviewer text createdAt }
  }
}

mutation AddReview {
  addReview(bookId: 1, rating: 5, reviewer: "Ana", text: "Read in one night.") { id createdAt }
}
`;

const url = new URL("graphql", location.href);
url.search = url.hash = "";
const socket = new URL(url);
socket.protocol = socket.protocol.replace("http", "ws");

// The key of the Headers tab is sent in connection_init; each subscription opens a new WebSocket.
let headers = {};
const wsClient = graphqlWs.createClient({ url: socket.href, connectionParams: () => headers });
const inner = GraphiQL.createFetcher({ url: url.href, wsClient });
const fetcher = (operation, options) => {
  headers = options?.headers ?? {};
  return inner(operation, options);
};

// GraphiQL's history would store the headers, and so the key: they are removed from what the browser stores.
function withoutHeaders(value) {
  try {
    return JSON.stringify(JSON.parse(value, (name, part) => (name === "headers" ? null : part)));
  } catch {
    return value; // not JSON: the text of a query, a width
  }
}

const storage = {
  getItem: (name) => localStorage.getItem(name),
  setItem: (name, value) => localStorage.setItem(name, withoutHeaders(value)),
  removeItem: (name) => localStorage.removeItem(name),
  clear: () => localStorage.clear(),
  get length() {
    return localStorage.length;
  },
};

const editor = { fetcher, storage, defaultQuery: STARTER, shouldPersistHeaders: false };
ReactDOM.render(React.createElement(GraphiQL, editor), document.getElementById("graphiql"));
