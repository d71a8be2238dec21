"""A source that needs no account: real campaign rows, repeated over any range of days.

``fetch_data`` returns the same rows for the same day on every machine, and none for about
one day in nine, like a real account.
"""

import csv
from datetime import date
from functools import cache
from importlib.resources import files
from zlib import crc32

MAX_ROWS = 4
DAYS_PER_EMPTY_DAY = 9


def fetch_data(day: date) -> list[dict[str, str]]:
    """Return the rows of one day; they depend on nothing but the day."""
    number = crc32(day.isoformat().encode())
    if number % DAYS_PER_EMPTY_DAY == 0:
        return []
    sample = sample_rows()
    indexes = {
        (number >> shift) % len(sample) for shift in range(0, 4 * (1 + number % MAX_ROWS), 4)
    }
    return [{"date": day.isoformat(), **sample[index]} for index in sorted(indexes)]


@cache
def sample_rows() -> list[dict[str, str]]:
    """Return the sample rows; NOTICE.txt says where they come from."""
    text = files(__package__).joinpath("campaigns.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
