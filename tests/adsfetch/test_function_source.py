"""A source of one's own: how it is named, imported and called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adsfetch import UsageError, function_source
from tests.waiting import PATIENCE

WEEK = ("fetch", "2024-01-01", "2024-01-03", "--out", "data")


def fetch(run, source, *more):
    waits = ("--wait-initial", "0.01", "--wait-max", "0.02")
    return run(*WEEK, "--source", source, *waits, *more)


@pytest.mark.parametrize(
    ("code", "said", "line"),
    [
        ("import sys\nsys.exit(0)", "SystemExit: 0", 2),
        ("raise SystemExit", "SystemExit", 1),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
        ("import os\n\nos.environ['NO_SUCH_KEY']", "KeyError: 'NO_SUCH_KEY'", 3),
        ("x = 1\ndef fetch_data(day:\n    pass", "SyntaxError: '(' was never closed", 2),
        ("import no_such_module", "No module named 'no_such_module'", 1),
        ("def f():\n    f()\nf()", "RecursionError", 2),
        ("raise Exception('a\\nb\\x1b[31m')", "Exception: a b [31m", 1),
        ("raise BaseExceptionGroup('many', [SystemExit(1)])", "the first: SystemExit: 1", 1),
        (
            "import warnings\nwarnings.simplefilter('error')\nwarnings.warn('x')",
            "UserWarning: x",
            3,
        ),
        ("import json\njson.loads('{')", "JSONDecodeError", 2),
    ],
)
def test_an_import_that_fails_is_one_line_with_file_and_line(run, tmp_path, code, said, line):
    (tmp_path / "mine.py").write_text(code + "\n")
    result = fetch(run, "mine:fetch_data")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert said in result.err
    assert f"{tmp_path / 'mine.py'}, line {line})" in result.err
    assert result.out == ""


def test_an_import_that_does_not_end_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "endless_import.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(function_source, "IMPORT_SECONDS", 0.2)
    source = function_source.FunctionSource("endless_import:fetch_data", 0.1)
    with pytest.raises(UsageError, match=r"its import does not end within 0\.2 s"):
        source.open()
    source.close()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("shop.py:fetch_data", "write --source shop:fetch_data"),
        ("./shop.py:fetch_data", "write --source shop:fetch_data"),
        ("sources/shop.py:fetch_data", "write --source sources.shop:fetch_data"),
        ("../shop.py:fetch_data", "write --source shop:fetch_data, and run adsfetch in the folder"),
        ("shop.py", "write --source shop:fetch_data"),
        ("shop:fetch_data()", "write --source shop:fetch_data"),
        (".shop:fetch_data", "is not of the form module:function"),
        ("shop", "is not of the form module:function"),
        ("shop:", "is not of the form module:function"),
        (":fetch_data", "is not of the form module:function"),
        ("my-shop:fetch_data", "is not of the form module:function"),
        ("nope:fetch_data", "there is no module 'nope' in"),
        ("os.nope:fetch_data", "there is no module 'os.nope' in"),
        ("os:nope", "has no 'nope'"),
        ("shop:nope", "shop.py has no 'nope'"),
        ("shop:fetch_data.nope", "shop.py has no 'fetch_data.nope'"),
        ("json:fetch_data", "rename that file"),
        ("shop:raises.anything", "RuntimeError: no anything"),
        ("shop:number", "it cannot be called"),
    ],
)
def test_a_source_that_cannot_be_found_is_explained(run, tmp_path, source, said):
    (tmp_path / "json.py").write_text("def fetch_data(day): return []\n")
    (tmp_path / "shop.py").write_text(
        "def fetch_data(day): return []\n"
        "number = 7\n"
        "class Raises:\n"
        "    def __getattr__(self, name): raise RuntimeError(f'no {name}')\n"
        "raises = Raises()\n"
    )
    result = fetch(run, source)
    assert result.code == 2
    assert said in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def test_a_module_may_be_imported_when_the_function_is_called(tmp_path):
    """The program ``adsfetch`` does not have the current folder on its path, as Python has."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "late.py").write_text("ROWS = [{'clicks': 1}]\n")
    (tmp_path / "shop.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def rows():\n"
        "    import parts.late\n"
        "    return parts.late.ROWS\n"
        "def fetch_data(day):\n"
        "    with ThreadPoolExecutor(1) as pool:\n"
        "        return pool.submit(rows).result()\n"
    )
    program = Path(sys.executable).with_name("adsfetch")
    done = subprocess.run(
        [program, *WEEK, "--source", "shop:fetch_data"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "3 rows" in done.stdout


@pytest.mark.parametrize("how", ["sys.exit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_source_that_ends_the_program_costs_its_day_only(run, tmp_path, how):
    (tmp_path / "shop.py").write_text(
        "import sys\n"
        "def fetch_data(day):\n"
        f"    if day.day == 2: {how}\n"
        "    return [{'clicks': 1}]\n"
    )
    result = fetch(run, "shop:fetch_data", "--json")
    assert result.code == 1
    assert [failure["day"] for failure in result.json["failed"]] == ["2024-01-02"]
    assert (tmp_path / "data/fetch_data/all.csv").read_text() == (
        "date,clicks\n2024-01-01,1\n2024-01-03,1\n"
    )


def test_a_source_that_changes_the_folder_or_prints_does_no_harm(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shop.py").write_text(
        "import os\n"
        "print('imported')\n"
        "def fetch_data(day):\n"
        "    os.chdir('elsewhere' if os.path.isdir('elsewhere') else '.')\n"
        "    print('fetching')\n"
        "    return [{'clicks': 1}]\n"
    )
    result = fetch(run, "shop:fetch_data", "--json", "--workers", "1")
    assert result.code == 0, result.err
    assert result.json["days_fetched"] == 3
    assert "imported\n" in result.err
    assert len((tmp_path / "data/fetch_data/all.csv").read_text().splitlines()) == 4


def test_the_path_of_imports_is_as_before_after_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    source = function_source.FunctionSource("os:getcwd", 5.0)
    source.open()
    assert sys.path[0] == os.fspath(tmp_path)
    source.close()
    assert sys.path == before
