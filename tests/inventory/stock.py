"""The stock ledger, as tests read it."""

from flask.testing import FlaskClient


def ledger(client: FlaskClient, product_id: int) -> list[tuple[int, int, str]]:
    """Return delta, resulting level and reason of each adjustment, newest first."""
    entries = client.get(f"/products/{product_id}/stock-adjustments").json["items"]
    return [(entry["delta"], entry["stock_level"], entry["reason"]) for entry in entries]
