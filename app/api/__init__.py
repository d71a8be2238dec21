"""The REST conventions: contracts of views, fields, pagination, idempotency, OpenAPI."""
