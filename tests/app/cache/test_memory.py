"""The memory of responses: bounded, and kept for what is requested often."""

import time

from app.cache.memory import MemoryEntry, ResponseMemory
from app.http.response import OK, BufferedResponse

KIB = 1_024


def entry(size=KIB, seconds=60.0):
    response = BufferedResponse(OK, [("ETag", '"1"')], bytes(size))
    return MemoryEntry(response, "/books", ("books",), time.monotonic() + seconds, 0)


def put(memory, *keys):
    for key in keys:
        memory.put(key, entry())


def test_an_entry_is_found_until_it_expires():
    memory = ResponseMemory[int](100 * KIB)
    stored, expired = entry(), entry(seconds=0)
    memory.put("stored", stored)
    memory.put("expired", expired)
    assert memory.get("stored") is stored
    assert memory.get("expired") is None
    assert memory.get("unknown") is None
    assert memory.size == stored.size()


def test_the_least_recently_used_entry_goes_first():
    memory = ResponseMemory[int](3 * entry().size())
    put(memory, "a", "b", "c", "d")
    assert memory.get("a") is None
    put(memory, "b")  # made again, and so the newest
    put(memory, "e")
    assert memory.get("c") is None
    assert all(memory.get(key) for key in "bde")


def test_entries_that_were_used_again_outlive_many_that_were_not():
    memory = ResponseMemory[int](20 * entry().size())
    put(memory, *"abcdefgh")
    assert all(memory.get(key) for key in "abcdefgh")
    put(memory, *map(str, range(1_000)))
    assert all(memory.get(key) for key in "abcdefgh")
    assert memory.size <= 20 * entry().size()


def test_entries_that_were_used_again_make_room_in_the_end():
    memory = ResponseMemory[int](20 * entry().size())
    for key in map(str, range(100)):
        put(memory, key)
        assert memory.get(key)
    assert memory.size <= 20 * entry().size()
    assert memory.get("0") is None
    assert memory.get("99")


def test_an_entry_that_is_too_large_is_not_kept_and_leaves_no_trace():
    memory = ResponseMemory[int](10 * KIB)
    memory.put("large", entry(size=20 * KIB))
    assert memory.get("large") is None
    assert memory.size == 0


def test_an_entry_is_discarded_unless_another_has_taken_its_place():
    memory = ResponseMemory[int](100 * KIB)
    old, new = entry(), entry()
    memory.put("a", old)
    memory.put("a", new)
    memory.discard("a", old)
    assert memory.get("a") is new
    memory.discard("a", new)
    assert memory.get("a") is None
    assert memory.size == 0
