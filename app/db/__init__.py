"""The database: engine, column types, statements, timeouts, errors."""
