"""GraphQL beyond request and answer: WebSockets, event streams, and what goes out on them."""
