"""The local Google Ads server, and the command as its user runs it."""

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

PROGRAM = [sys.executable, "-m", "adsfetch"]


@dataclass
class Answer:
    """What a run of the command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdsServer]:
    with ads_server(tmp_path_factory.mktemp("adsserver")) as running:
        yield running


@pytest.fixture
def ads(server: AdsServer, tmp_path: Path) -> AdsServer:
    """The server as a polite one; a test tells it to be otherwise."""
    server.behave()
    return server


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Answer]:
    """Run the command in a process of its own, in a folder of its own."""

    def go(*words: str, env: dict[str, str] | None = None, timeout: float = 60) -> Answer:
        done = subprocess.run(
            [*PROGRAM, *words],
            cwd=tmp_path,
            env=env or {**os.environ, "PYTHONPATH": str(tmp_path)},
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return go


@pytest.fixture
def google(run: Callable[..., Answer], ads: AdsServer) -> Callable[..., Answer]:
    """Run a fetching command with the real client against the local server, quick to retry."""

    def go(*words: str, **more: Any) -> Answer:
        options = ["--out", "data", "--config", str(ads.config), "--customer-id", CUSTOMER]
        hurry = ["--wait-initial", "0.05", "--wait-max", "0.2"]
        return run(*words, *options, *hurry, "--json", env=ads.environment, **more)

    return go
