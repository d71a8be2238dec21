"""A source for adsfetch in the film: its report server is slow, and down for one day."""

import os
import time
from datetime import date

from adsfetch.example import fetch_data as example


def fetch_data(day: date) -> list[dict[str, str]]:
    """Return the rows of a day."""
    time.sleep(0.2)
    if day.isoformat() == os.environ.get("DOWN"):
        raise TimeoutError("the report server is down")
    return example(day)
