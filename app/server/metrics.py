"""The metrics of a worker. Import it in workers only, as all modules with metrics."""

from typing import Any

from prometheus_client import Counter

from app.server.bounds import CUTS, on_cut

CUT = Counter("bookstall_cut_total", "Requests and connections cut at a bound", ["kind", "reason"])
_children = {
    (kind, reason): CUT.labels(kind, reason) for kind, reasons in CUTS.items() for reason in reasons
}
on_cut(lambda kind, reason: _children[kind, reason].inc())


def start_gauges(application: Any) -> None:
    """Let this worker keep its gauges current; ``application`` is what it serves."""
    extensions = getattr(application, "extensions", {})
    services = getattr(application, "services", None) or extensions.get("bookstall")
    if services is not None:  # else another application, with the same configuration
        services.worker_gauges.update_periodically()
