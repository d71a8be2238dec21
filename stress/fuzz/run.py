"""Run schemathesis against the service."""

import subprocess
import sys
from pathlib import Path

from stress.data import new_database
from stress.service import ROOT, Service, environment

CONFIG = Path(__file__).parent / "schemathesis.toml"
SERVICE_LOG_CHARACTERS = 20_000
DATABASES = ("sqlite", "postgresql")


def fuzz(database: str, *, seconds: int, seed: int) -> "subprocess.CompletedProcess[str]":
    """Call all operations for so many seconds, with all checks, on a new database.

    The output is written to ``log_of(database, seed)`` as it comes; a failure adds the service's.
    """
    log = log_of(database, seed)
    log.parent.mkdir(parents=True, exist_ok=True)
    limits = {"RATE_LIMIT_READ": "off", "RATE_LIMIT_WRITE": "off"}
    with (
        new_database(sqlite=database == "sqlite") as url,
        Service("wsgi:app", 2, DATABASE_URL=url, **limits) as service,
    ):
        document = f"http://127.0.0.1:{service.port}/openapi.json"
        with log.open("w") as output:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli"),
                    *("--config-file", str(CONFIG)),
                    *("run", document, "--checks", "all", "--continue-on-failure", "--no-color"),
                    *("--max-time", str(seconds), "--seed", str(seed)),
                    *("--generation-database", "none", "--warnings", "off"),
                ],
                env=environment(SCHEMATHESIS_HOOKS="stress.fuzz.hooks"),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            if done.returncode:
                service_log = service.log.read_text(errors="replace")[-SERVICE_LOG_CHARACTERS:]
                output.write(f"\nexit code {done.returncode}; the service wrote:\n{service_log}\n")
    return subprocess.CompletedProcess(done.args, done.returncode, log.read_text(errors="replace"))


def log_of(database: str, seed: int) -> Path:
    """Return the file with the output of a run."""
    return ROOT / f"instance/fuzz/{database}-{seed}.log"
