"""`python -m film` says in a line what is missing, and what its options are."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from film.__main__ import main

ROOT = Path(__file__).parents[2]


def test_missing_programs_are_named_in_one_line(tmp_path):
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\necho ' ... aap  A->A  another filter'\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "film", "--out", str(tmp_path / "out")],
        env={"PATH": str(tmp_path), "CHROMIUM": "no-such-browser"},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for name in ("git", "bash", "ffprobe", "Chromium", "an ffmpeg with flite"):
        assert name in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_options_have_help():
    text = CliRunner().invoke(main, ["--help"]).output
    for option in ("--only TITLE", "--out DIRECTORY", "--stills DIRECTORY"):
        assert option in text
