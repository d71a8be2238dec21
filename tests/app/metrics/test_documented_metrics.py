"""The table in docs/operations.md and /metrics name the same metrics, with the same labels."""

import json
import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs/operations.md"
METRIC = re.compile(r"`(bookstall_\w+)(?:\{([\w,]+)\})?`")
SAMPLE = re.compile(r"(bookstall_\w+?)(_bucket|_sum|_count)?(?:\{(.*)\})? \S+")
LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')


def documented():
    """Return the labels of each metric in the table."""
    section = DOCUMENT.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return {
        name: set(labels.split(",")) if labels else set()
        for cell in cells
        for name, labels in METRIC.findall(cell)
    }


def shown(server):
    """Return the labels of each metric of a running service."""
    status, _, body = server.request("GET", "/metrics")
    assert status == 200
    found = {}
    for line in body.decode().splitlines():
        if line.startswith("#") or "_created" in line:
            continue
        name, part, labels = SAMPLE.fullmatch(line).groups()
        if part == "_count" and f"{name}_count" in documented():
            name = f"{name}_count"
        found.setdefault(name, set()).update(set(LABEL.findall(labels or "")) - {"le"})
    return found


def test_the_table_of_metrics_is_complete_and_current(live_on_stack):
    server = live_on_stack
    assert server.request("GET", "/reviews/export")[0] == 200
    server.request("GET", "/graphql/stream")  # an event stream that is rejected
    hook = json.dumps({"url": "https://example.com/hook"}).encode()
    status, headers, body = server.request("POST", "/webhooks", hook)
    assert status == 201, body
    try:
        assert shown(server) == documented()
    finally:
        assert server.request("DELETE", headers["Location"])[0] == 204
