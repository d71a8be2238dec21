"""Commands of a storyboard, and what is expected of them."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from film.storyboard import PROMPT, Step
from film.terminal import STARTED, Terminal

TAIL = 10
"""Lines of the end of the output in an error."""


class ExpectationError(RuntimeError):
    """A step did not do what the storyboard says."""


class Command:
    """A command in a terminal, from the moment at which it is entered."""

    def __init__(self, terminal: Terminal, step: Step, *, started: bool = False) -> None:
        self._terminal = terminal
        self._step = step
        self._position = terminal.text.rfind(STARTED) if step.continues else len(terminal.text)
        self._commands = terminal.commands
        # Input of a program that already runs, or a key, starts no command.
        self._input = started or terminal.busy

    @property
    def expected(self) -> str:
        """Return what the step waits for, in words."""
        end = "the prompt" if self._step.until == PROMPT else repr(self._step.until)
        return f"{self._step.expect!r} and then {end}" if self._step.expect else end

    def output(self) -> str:
        """Return what was printed since, without the prompt after it."""
        start = self._position
        if not self._input:
            text = self._terminal.text
            start = text.rfind(STARTED) if self._begun() else len(text)
        return self._terminal.output(start)

    def finished(self) -> bool:
        """Return whether the step's end was reached; raise ExpectationError if it cannot be."""
        if not self._begun():
            return False
        over = not self._terminal.busy
        output = self.output()
        matched = re.search(self._step.expect, output, re.MULTILINE) is not None
        if self._step.until != PROMPT and re.search(self._step.until, output, re.MULTILINE):
            return matched
        if not over:
            return False
        if self._step.until != PROMPT or not matched:
            raise failed(self.expected, output)
        if not self._step.expect and not self._input and self._terminal.status:
            raise failed(f"exit code 0, not {self._terminal.status}", output)
        return True

    def _begun(self) -> bool:
        return self._input or self._terminal.commands > self._commands


def run_hidden(text: str, step: Step, folder: Path, environment: Mapping[str, str]) -> None:
    """Run a command off the stage; raise ExpectationError if it fails or lasts too long."""
    # A file, not a pipe: what it leaves in the background must not be waited for.
    with TemporaryFile("w+") as output:
        try:
            status = subprocess.run(  # noqa: S603  # the storyboard is code of the project
                ["bash", "-c", text],  # noqa: S607
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=step.within,
                start_new_session=True,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
        if status != 0:
            output.seek(0)
            found = "it still runs" if status is None else f"it was {status}"
            expected = f"exit code 0 within {step.within:g} s ({found})"
            raise failed(expected, output.read())


def failed(expected: str, seen: str) -> ExpectationError:
    """Return an error with the end of what was seen."""
    lines = [line for line in seen.splitlines() if line.strip()][-TAIL:] or ["(nothing)"]
    return ExpectationError("\n    ".join([f"expected {expected}; seen at the end:", *lines]))
