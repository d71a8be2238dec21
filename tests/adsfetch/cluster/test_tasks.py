"""What a Dask worker does, without one."""

import importlib
import pickle
import sys
from datetime import date

import pytest

from adsfetch import OAuthError, QueryError, RateLimitError, StoreError, UsageError
from adsfetch.cluster.tasks import DayTask, claim_call, fetch_day, forget_modules
from adsfetch.errors import StuckError, TransientError, UnconfirmedError

DAY = date(2024, 2, 29)


@pytest.fixture
def task(tmp_path):
    """A task that fetches a day of the example."""
    options = {"source": "adsfetch.example:fetch_data", "folder": str(tmp_path)}
    days = tmp_path / "days"
    days.mkdir()
    return DayTask(tmp_path.name, options, 60.0, DAY, days, (), False, days / "claim")


def test_a_day_is_written_to_the_folder(task):
    staged = pickle.loads(fetch_day(task)[0])
    assert staged.path.parent == task.folder
    assert staged.path.read_bytes().count(b"\n") == staged.rows + 1


def test_a_task_that_is_run_again_makes_no_second_call(task):
    fetch_day(task)
    error = pickle.loads(fetch_day(task)[0])
    assert (type(error), str(error)) == (
        TransientError,
        "the Dask worker that fetched this day was lost",
    )


def test_a_folder_that_is_not_on_the_host_of_the_worker_is_an_error_that_names_the_host(task):
    task.folder.rmdir()
    error = pickle.loads(fetch_day(task)[0])
    assert type(error) is StoreError
    assert "No such file or directory" in str(error)
    assert "(on the Dask worker " in str(error)


def test_a_claim_can_be_made_once(tmp_path):
    claim_call(tmp_path / "claim")
    with pytest.raises(TransientError):
        claim_call(tmp_path / "claim")


def test_a_module_is_imported_anew_and_from_the_folder_of_its_source(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ashop.py").write_text(f"NAME = {folder!r}")
    monkeypatch.syspath_prepend(tmp_path / "one")
    assert importlib.import_module("ashop").NAME == "one"
    monkeypatch.syspath_prepend(tmp_path / "two")
    forget_modules("ashop:fetch_data", str(tmp_path / "two"))
    assert importlib.import_module("ashop").NAME == "two"
    before = dict(sys.modules)
    forget_modules("other:fetch_data", str(tmp_path / "two"))
    assert before.keys() - sys.modules.keys() == {"ashop"}
    forget_modules("sys:exit", sys.prefix)
    forget_modules("adsfetch.example:fetch_data", sys.prefix)
    assert before.keys() - sys.modules.keys() == {"ashop"}


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError(5, "too many", account_only=True),
        RateLimitError("soon"),
        UnconfirmedError(OAuthError("not an Ads user"), retried=False),
        QueryError("UNRECOGNIZED_FIELD"),
        UsageError(),
        StuckError("no response"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_in_another_process(error):
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), copied.args, str(copied)) == (type(error), error.args, str(error))
    assert {**vars(copied), "fatal": None} == {**vars(error), "fatal": None}
    if isinstance(error, UnconfirmedError):
        assert (type(copied.fatal), str(copied.fatal)) == (OAuthError, "not an Ads user")
