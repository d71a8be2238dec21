"""The loader: batches, retries and what a load writes."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import OperationalError

from app.loading import loader
from tests.app.loading.csv_load import DRACULA, EMMA, HEAD, rejects_path


def test_a_second_load_changes_nothing(load, path):
    first, second = load(HEAD + EMMA + DRACULA), load(None)
    assert first.stdout == "loaded 2, updated 0, unchanged 0, rejected 0\n"
    assert second.stdout == "loaded 0, updated 0, unchanged 2, rejected 0\n"
    assert (first.exit_code, second.exit_code, first.stderr) == (0, 0, "")
    assert not rejects_path(path).exists()


def busy(times: int, after: int = 0) -> Callable[..., None]:
    """Return a commit that works ``after`` times, fails ``times`` times and then works again."""
    real, calls = loader.commit, iter(range(1_000))

    def commit(**arguments: Any) -> None:
        if after <= next(calls) < after + times:
            raise OperationalError("COMMIT", {}, Exception("database is locked"))
        real(**arguments)

    return commit


def test_a_batch_that_another_writer_blocks_is_retried(load, monkeypatch):
    monkeypatch.setattr(loader, "RETRY_DELAYS", (0.0, 0.0))
    monkeypatch.setattr(loader, "commit", busy(2))
    assert load(HEAD + EMMA).stdout.startswith("loaded 1,")


def test_an_unavailable_database_stops_the_load_after_a_whole_batch(load, monkeypatch, titles):
    monkeypatch.setattr(loader, "RETRY_DELAYS", (0.0, 0.0))
    monkeypatch.setattr(loader, "BATCH_ROWS", 1)
    monkeypatch.setattr(loader, "commit", busy(3, after=1))
    result = load(HEAD + EMMA + DRACULA)
    assert (result.exit_code, titles()) == (1, ["Emma"])
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 0\n"
    assert "Stopped after line 2" in result.stderr
