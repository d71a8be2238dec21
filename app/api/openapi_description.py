"""What all routes share, as `/docs` and `/openapi.json` tell it: CommonMark."""

DESCRIPTION = """\
Requests and responses are JSON. Times are RFC 3339 in UTC, amounts of money are strings such as
`"19.99"`.

### Errors
Every error is a problem document (RFC 9457) with the media type `application/problem+json`. Its
`request_id` is in the header `X-Request-ID` of every response and in the log of the service; a
client can send its own. Status 422 lists the invalid fields in `errors`, each by a JSON pointer. An
unknown field or query parameter is a 422 too.

### Text and numbers
Text is stored in NFC and without outer space; `maxLength` counts the characters of this form. A
number has its exact value in any notation, so `5.0` is a whole number. -0 is a 422.

### Lists
A list is a page of `items` with `next_cursor`, which is null on the last page. Send it as `cursor`,
with the same filters and the same order, to get the next page; the header `Link` contains the same
URL. `limit` is 1 to 100. `include_total=true` adds `total`.

### Exports
All books, reviews, products and stock adjustments, each in one response: a line for each object, as
NDJSON or CSV, from one state of the database. The response is chunked, and whole only with its last
chunk. At most two exports run in a process; a 503 says when to try again.

### ETags and conditional requests
Every GET but an export has an `ETag`. Send it as `If-None-Match` to get a 304 without a body while
nothing has changed. The ETag of a book, a review, a product or a webhook is its version: send it as
`If-Match` with a change, and the response is 412 if somebody else was faster. No precondition is
ignored: one that a write cannot evaluate is a 412, too.

### Idempotency-Key
Send a new random `Idempotency-Key` with a POST. If the same request comes again with this key
within 24 hours, the response is the first one, with `Idempotency-Replayed: true`, and nothing is
written. So a request can be repeated after a broken connection. The same key with another request
is a 422.

### API keys
Reads need no key, but for those of webhooks. If the service requires keys, a write needs an API key
with the scope that the operation names as `x-scope`: `Authorization: Bearer ...`. The operator
creates keys with `flask keys create NAME --scope ...`.

### Rate limits
Reads and writes are limited for each key, or without one for each address. `RateLimit` and
`RateLimit-Policy` say how many requests remain. Beyond the limit the response is 429; repeat the
request after `Retry-After` seconds.

### GraphQL and live reviews
`POST /graphql` answers GraphQL queries about the same books and reviews and the mutation
`addReview`; a browser shows the editor GraphiQL at [/graphql](/graphql). The subscription
`reviewAdded` delivers new reviews as they are written: over a WebSocket at `/graphql`
(graphql-transport-ws) or as server-sent events from `/graphql/stream` (graphql-sse). The page
[/live](/live) shows them. `flask graphql-schema` prints the schema.

### Operating
`/healthz` says that the process is alive, `/readyz` that the service is ready, `/metrics` has
figures for Prometheus.
"""
