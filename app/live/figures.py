"""What an operator sees of the lines: how many there are, and why they ended."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge(
    "bookstall_live_connections", "Lines that are open", ["kind"], multiprocess_mode="livesum"
)
SUBSCRIPTIONS = Gauge(
    "bookstall_live_subscriptions", "Subscriptions at work", multiprocess_mode="livesum"
)
EVENTS = Counter("bookstall_live_events_total", "Events that have reached this service's processes")
ENDS = Counter("bookstall_live_ends_total", "Lines that ended", ["kind", "reason"])
