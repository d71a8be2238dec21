"""A range to fetch from the local server, and the days that a test finds in the aggregate."""

import csv
from pathlib import Path

FETCH = ("fetch", "2024-01-01", "2024-01-03", "--today", "2024-03-05")


def days_in(folder: Path) -> list[str]:
    """The days of the aggregate, each as often as it has rows."""
    with (folder / "data/1234567890-campaign/all.csv").open(newline="") as lines:
        return [row["segments.date"] for row in csv.DictReader(lines)]
