"""The change feed over HTTP and GraphQL: the events of the log in pages and as they come."""
