"""The metric of what was cut. Import it in workers only, as all modules with metrics."""

from prometheus_client import Counter

from app.server.bounds import CUTS, on_cut

CUT = Counter("bookstall_cut_total", "Requests and connections cut at a bound", ["kind", "reason"])
_children = {
    (kind, reason): CUT.labels(kind, reason) for kind, reasons in CUTS.items() for reason in reasons
}
on_cut(lambda kind, reason: _children[kind, reason].inc())
