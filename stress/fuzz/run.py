"""Run schemathesis against the service."""

import subprocess
import sys
from pathlib import Path

from stress.data import new_database
from stress.service import ROOT, Service, environment

CONFIG = Path(__file__).parent / "schemathesis.toml"
DATABASES = ("sqlite", "postgresql")


def fuzz(database: str, *, seconds: int, seed: int) -> "subprocess.CompletedProcess[str]":
    """Call all operations for so many seconds, with all checks, on a new database."""
    limits = {"RATE_LIMIT_READ": "off", "RATE_LIMIT_WRITE": "off"}
    with (
        new_database(sqlite=database == "sqlite") as url,
        Service("wsgi:app", 2, DATABASE_URL=url, **limits) as service,
    ):
        document = f"http://127.0.0.1:{service.port}/openapi.json"
        return subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(CONFIG)),
                *("run", document, "--checks", "all", "--continue-on-failure", "--no-color"),
                *("--max-time", str(seconds), "--seed", str(seed)),
                *("--generation-database", "none", "--warnings", "off"),
            ],
            env=environment(SCHEMATHESIS_HOOKS="stress.fuzz.hooks"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
