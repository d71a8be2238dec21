"""The REST conventions: route contracts, fields, pagination, idempotency, OpenAPI."""
