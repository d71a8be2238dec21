"""News for subscribers: events as one process receives them."""
