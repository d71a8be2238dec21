"""A source without an account: real campaign rows, played over any range of days.

``fetch_data`` gives the same rows for the same day on every machine, and none at all on about
one day in nine, as accounts do.
"""

import csv
from datetime import date
from functools import cache
from importlib.resources import files
from zlib import crc32

MOST = 4
QUIET = 9


def fetch_data(day: date) -> list[dict[str, str]]:
    """Return the rows of one day, chosen by the day alone."""
    lot = crc32(day.isoformat().encode())
    if lot % QUIET == 0:
        return []
    known = rows()
    picked = {(lot >> shift) % len(known) for shift in range(0, 4 * (1 + lot % MOST), 4)}
    return [{"date": day.isoformat(), **known[number]} for number in sorted(picked)]


@cache
def rows() -> list[dict[str, str]]:
    """Return the rows that are played; NOTICE.txt says where they are from."""
    text = files(__package__).joinpath("campaigns.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
