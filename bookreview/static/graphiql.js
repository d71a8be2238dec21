// GraphiQL on this service: operations by POST, subscriptions over the WebSocket of the same address.

const STARTER = `# Run one of these: the triangle above, or Ctrl-Enter, and choose by name.
# An API key goes below, under Headers: {"Authorization": "Bearer ..."}
# Where one is needed for the schema too, fetch that again then: the two arrows at the left.

query NewestReviews {
  eventCursor
  books(first: 3) {
    nodes { id title author }
  }
  reviews(bookId: 1, first: 5) {
    nodes { rating reviewer text createdAt }
  }
}

# It shows each review of book 1 from the moment that it is added, here or anywhere.
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

// The key of the Headers tab goes along as connection_init has it; the socket is opened for each subscription anew.
let headers = {};
const wsClient = graphqlWs.createClient({ url: socket.href, connectionParams: () => headers });
const inner = GraphiQL.createFetcher({ url: url.href, wsClient });
const fetcher = (operation, options) => {
  headers = options?.headers ?? {};
  return inner(operation, options);
};

// GraphiQL's history would keep the headers too, so the key: what goes into the browser's storage is freed of them.
function withoutHeaders(value) {
  try {
    return JSON.stringify(JSON.parse(value, (name, kept) => (name === "headers" ? null : kept)));
  } catch {
    return value; // no JSON: the text of a query, a width
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
