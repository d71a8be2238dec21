"""The database: engine, column types, timeouts."""
