"""A shop developer's day, with a client that is generated from the OpenAPI document."""

import subprocess
import sys

from stress.service import ROOT
from tests.waiting import PATIENCE


def test_the_generated_client_does_all_that_a_shop_needs():
    command = [sys.executable, "-m", "clients.day", "--here"]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=10 * PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("compare\neverything was as the document says\n")
