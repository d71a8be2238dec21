"""One run of schemathesis against the service, served as in a shop."""

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.load import ROOT
from stack.servers import Postgres
from stress.data import migrate
from stress.service import Service, environment

HERE = Path(__file__).parent
DATABASES = ("sqlite", "postgresql")


def fuzz(database: str, *, seconds: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Drive the whole document for so long, with all checks, on a database of its own."""
    if database == "postgresql":
        with Postgres() as server:
            return _drive(server.new_database("fuzz"), seconds, seed)
    with tempfile.TemporaryDirectory() as folder:
        return _drive(f"sqlite:///{folder}/fuzz.db", seconds, seed)


def _drive(url: str, seconds: int, seed: int) -> subprocess.CompletedProcess[str]:
    migrate(url)
    limits = {"RATE_LIMIT_READ": "off", "RATE_LIMIT_WRITE": "off"}
    with Service(workers=2, DATABASE_URL=url, **limits) as service:
        address = f"http://127.0.0.1:{service.port}/openapi.json"
        return subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(HERE / "schemathesis.toml")),
                *("run", address, "--checks", "all", "--continue-on-failure", "--no-color"),
                *("--max-time", str(seconds), "--seed", str(seed)),
                *("--generation-database", "none", "--warnings", "off"),
            ],
            env=environment(SCHEMATHESIS_HOOKS="stress.fuzz.hooks"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
