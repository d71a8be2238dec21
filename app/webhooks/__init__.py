"""Webhooks: signed events, sent to URLs in the order of the log."""
