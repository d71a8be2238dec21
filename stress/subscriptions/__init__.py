"""Check that each subscriber receives each event once and in order."""
