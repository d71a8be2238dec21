"""Check that the change feed tells each change once and in order, to each of its followers."""
