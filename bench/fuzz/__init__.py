"""Property-based clients, which drive the service by its own OpenAPI document."""
