"""The local Google Ads server, a source of our own, and the command in processes of its own."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from adsserver.launch import CUSTOMER, AdsServer, ads_server

from tests.waiting import PATIENCE, wait_until

PROGRAM = [sys.executable, "-m", "adsfetch"]


@dataclass
class Result:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Result]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdsServer]:
    with ads_server(tmp_path_factory.mktemp("adsserver")) as running:
        yield running


@pytest.fixture
def ads(server: AdsServer, tmp_path: Path) -> AdsServer:
    """The local Google Ads server, without failures until a test adds some."""
    server.behave()
    return server


@pytest.fixture(scope="session")
def commands() -> Iterator[subprocess.Popen[str]]:
    """The process that runs commands in forks of itself."""
    program = [sys.executable, str(Path(__file__).with_name("command_server.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin
        yield process
        process.stdin.close()


@pytest.fixture
def run(tmp_path: Path, commands: subprocess.Popen[str]) -> Command:
    """Run the command in a process of its own, in a folder of its own or one below that."""

    def go(
        *arguments: str,
        env: dict[str, str] | None = None,
        timeout: int = PATIENCE,
        folder: str = ".",
    ) -> Result:
        assert commands.stdin
        assert commands.stdout
        out, err = tmp_path / ".out", tmp_path / ".err"
        request = {
            "arguments": arguments,
            "folder": str(tmp_path / folder),
            "env": env or dict(os.environ),
            "out": str(out),
            "err": str(err),
            "timeout": timeout,
        }
        commands.stdin.write(json.dumps(request) + "\n")
        code = int(commands.stdout.readline())
        return Result(code, out.read_text(), err.read_text())

    return go


@pytest.fixture
def run_program(tmp_path: Path) -> Command:
    """Run the command as its user does: by a new Python, which imports everything itself."""

    def go(*arguments: str, env: dict[str, str] | None = None, timeout: int = PATIENCE) -> Result:
        done = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=tmp_path,
            env=env or {**os.environ, "PYTHONPATH": str(tmp_path)},
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return go


@pytest.fixture
def google(run: Command, ads: AdsServer) -> Command:
    """Run a fetching command with the real client against the local server, with short waits.

    It is in March 2024, as Google has no rows of days that are more than 37 months old.
    """

    def go(*arguments: str, **more: Any) -> Result:
        if "--today" not in arguments:
            arguments = (*arguments, "--today", "2024-03-05")
        options = ["--out", "data", "--config", str(ads.config), "--customer-id", CUSTOMER]
        waits = ["--wait-initial", "0.05", "--wait-max", "0.2"]
        return run(*arguments, *options, *waits, "--json", env=ads.environment, **more)

    return go


SHOP = r"""
import json, os, time
from pathlib import Path

import adsfetch

HERE = Path(__file__).parent

def fetch_data(day):
    with open(HERE / "calls", "a", buffering=1) as calls:
        calls.write(f"{day}\n")
    settings = json.loads((HERE / "settings.json").read_text())
    time.sleep(settings.get("latency", 0))
    calls = len((HERE / "calls").read_text().split())
    if str(day) in settings.get("hang", []) or calls > settings.get("calls", calls):
        time.sleep(600)
    while str(day) in settings.get("wait", []) and not (HERE / "go").exists():
        time.sleep(0.01)
    if str(day) in settings.get("fail", []):
        raise ConnectionError("the source is down")
    if str(day) in settings.get("raise", {}):
        raise eval(settings["raise"][str(day)])
    if str(day) in settings.get("empty", []):
        return []
    if str(day) in settings.get("dates", {}):
        return [{"date": text, "clicks": 1, "note": "x"} for text in settings["dates"][str(day)]]
    clicks = settings.get("clicks_of", {}).get(str(day), settings.get("clicks", 1))
    row = {"date": day, "clicks": clicks, "note": "x" * settings.get("width", 1)}
    return [{**row, **settings.get("more", {})}] * settings.get("rows", 1)
"""


class Shop:
    """A source in a module of its own; tests set its behaviour and read its calls."""

    options = ("--source", "shop:fetch_data", "--out", "data")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data" / "fetch_data"
        (folder / "shop.py").write_text(SHOP)
        self.configure()

    def configure(self, **settings: Any) -> None:
        """Set the behaviour of the source, and forget the calls so far."""
        (self.folder / "settings.json").write_text(json.dumps(settings))
        (self.folder / "calls").unlink(missing_ok=True)

    @property
    def calls(self) -> list[str]:
        """The days that were called since the behaviour was set."""
        calls = self.folder / "calls"
        return calls.read_text().split() if calls.exists() else []

    @property
    def recorded(self) -> set[str]:
        """The days in the manifest at this moment."""
        manifest = self.data / "manifest.jsonl"
        lines = manifest.read_text().splitlines(keepends=True) if manifest.exists() else []
        return {json.loads(line)["day"] for line in lines if line.endswith("\n")}

    def wait_for_calls(self, number: int) -> None:
        """Wait for this number of calls."""
        wait_until(lambda: len(self.calls) >= number)

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """Start the command without waiting for its end."""
        return subprocess.Popen(
            [*PROGRAM, *arguments, *self.options],
            cwd=self.folder,
            env=more.pop("env", {**os.environ, "PYTHONPATH": str(self.folder)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def all(self) -> list[dict[str, str]]:
        """The rows of the aggregate."""
        with (self.data / "all.csv").open(newline="") as lines:
            return list(csv.DictReader(lines))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def fetch(run: Command, shop: Shop) -> Command:
    """Run a fetching command with this source."""

    def go(*arguments: str, **more: Any) -> Result:
        waits = ["--wait-initial", "0.01", "--wait-max", "0.02"]
        return run(*arguments, *shop.options, *waits, "--json", **more)

    return go
