"""Exports: whole tables as NDJSON or CSV, streamed from one snapshot of the database."""
