"""Play scenes on real terminals and pages, and record them."""

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clients.browser.chromium import Chromium, PageError
from film import stage
from film.browser import PageWindow
from film.location import Location
from film.recording import Picture, Take, Window
from film.storyboard import PROMPT, Scene, Step
from film.terminal import Terminal

TICK = 0.04
"""Seconds between two looks at the screen."""
KEYSTROKE = 0.055
LONGEST_TYPING = 4.0
"""Seconds for a long command."""
BEFORE_ENTER = 0.4
TAIL = 10
"""Lines of the end of the output in an error."""


class ExpectationError(RuntimeError):
    """A step did not do what the storyboard says."""


class Player:
    """Play scenes one after the other."""

    def __init__(
        self,
        location: Location,
        browser: Chromium | None,
        folder: Path,
        speech: Callable[[str], float],
    ) -> None:
        self._location = location
        self._browser = browser
        self._folder = folder
        self._speech = speech

    def play(self, scene: Scene) -> list[Take]:
        """Play a scene, and end all that it started; raise ExpectationError."""
        with ExitStack() as cleanup:
            performance = Performance(self._location, self._browser, self._folder, scene, cleanup)
            takes = []
            for step in scene.steps:
                try:
                    takes.append(performance.take(step, self._speech(step.say)))
                except (ExpectationError, PageError, TimeoutError) as error:
                    what = "; ".join(f"{verb} {value!r}" for verb, value in step.actions)
                    message = f"scene {scene.title!r}, step {step.number} ({what}): {error}"
                    raise ExpectationError(message) from error
            takes[-1].poster = scene.poster
            return takes


class Performance:
    """One scene while it is played: its terminals and windows, and the take in progress."""

    def __init__(
        self,
        location: Location,
        browser: Chromium | None,
        folder: Path,
        scene: Scene,
        cleanup: ExitStack,
    ) -> None:
        self._location = location
        self._browser = browser
        self._folder = folder
        self._scene = scene
        self._cleanup = cleanup
        self._environment = location.environment(alone=scene.alone)
        self._windows: list[PageWindow] = []
        self._terminals = [self._new_terminal() for _ in range(scene.terminals)]
        self._typing = bool(self._terminals)
        self._take = Take("", 0)
        self._began = 0.0
        self._badge = ""

    def take(self, step: Step, speech: float) -> Take:
        """Run the actions of a step while its narration lasts."""
        self._take = Take(step.say, speech, lapse=step.lapse)
        self._began = time.monotonic()
        for verb, value in step.actions:
            getattr(self, f"_{verb}")(self._filled(value), step)
        self._look()
        while self._take.film_time(self._now()) < speech:
            self._pass(TICK)
        return self._take

    def _new_terminal(self) -> Terminal:
        rows = stage.rows(self._scene.terminals, together=self._scene.together)
        terminal = Terminal(self._location.clone, self._environment, rows)
        self._cleanup.callback(terminal.close)
        deadline = time.monotonic() + 20
        while terminal.busy and time.monotonic() < deadline:
            time.sleep(TICK)
        return terminal

    def _filled(self, value: Any) -> Any:
        """Replace the names in braces; other braces stay."""
        if isinstance(value, dict):
            return {key: self._filled(text) for key, text in value.items()}
        if isinstance(value, list):
            return [self._filled(text) for text in value]
        if isinstance(value, str):
            for name, text in self._location.placeholders().items():
                value = value.replace(name, text)
        return value

    # What is seen

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _look(self) -> None:
        """Record what the stage shows now, if it has changed."""
        moment = self._now()
        shown = self._scene.together or not self._typing
        self._add(moment, tuple(window.shot() for window in self._windows if shown))

    def _add(self, moment: float, windows: tuple[Window, ...]) -> None:
        shown = self._scene.together or self._typing
        terminals = tuple(terminal.lines() for terminal in self._terminals if shown)
        picture = Picture(self._scene.title, self._scene.decision, self._badge, terminals, windows)
        self._take.add(moment, picture)

    def _pass(self, seconds: float) -> None:
        """Let time pass, and record."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._look()
            time.sleep(min(TICK, left))

    def _wait(
        self, found: Callable[[], bool], step: Step, expected: str, seen: Callable[[], str]
    ) -> None:
        deadline = time.monotonic() + step.within
        while not found():
            if time.monotonic() > deadline:
                raise failed(f"{expected} within {step.within:g} s", seen())
            self._pass(TICK)

    # Terminal

    def _type(self, text: str, step: Step) -> None:
        self._typing = True
        terminal = self._terminals[step.pane - 1]
        pause = min(KEYSTROKE, LONGEST_TYPING / len(text))
        for character in text.strip():
            terminal.send("\r" if character == "\n" else character)
            self._pass(pause)
        self._pass(BEFORE_ENTER)
        command = Command(terminal, step)
        terminal.send("\r")
        self._follow(command, step)

    def _follow(self, command: "Command", step: Step) -> None:
        """Wait for the end of a command, and check its output."""
        begin = self._now()
        self._badge = f"{step.lapse:g} times faster" if step.lapse > 1 else ""
        self._wait(command.finished, step, command.expected, command.output)
        self._badge = ""
        self._take.lapsed = (begin, self._now())

    def _press(self, key: str, step: Step) -> None:
        if not self._typing:
            self._window(step).press(key)
            return
        command = Command(self._terminals[step.pane - 1], step, started=True)
        self._terminals[step.pane - 1].press(key)
        self._follow(command, step)

    def _run(self, text: str, step: Step) -> None:
        output = self._folder / "run.log"
        with output.open("w") as log:
            done = subprocess.run(  # noqa: S603  # the storyboard is code of the project
                ["bash", "-c", text],  # noqa: S607
                cwd=self._location.clone,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=step.within,
                start_new_session=True,
                check=False,
            )
        if done.returncode:
            raise failed(f"exit code 0, not {done.returncode}", output.read_text())
        if not self._take.pictures:
            self._began = time.monotonic()

    # Browser

    def _window(self, step: Step) -> PageWindow:
        return self._windows[step.pane - 1]

    def _open(self, addresses: str | list[str], step: Step) -> None:
        if self._browser is None:
            raise ExpectationError("there is no browser")
        paths = [addresses] if isinstance(addresses, str) else addresses
        if len(self._windows) != len(paths):
            self._new_windows(self._browser, len(paths))
        self._typing = False
        base = self._location.placeholders().get("{service}", "")
        for window, path in zip(self._windows, paths, strict=True):
            window.open(base + path if path.startswith("/") else path, step.within)
            window.shot()
        if not self._take.pictures:
            self._began = time.monotonic()  # it loads before the step begins
        self._look()

    def _new_windows(self, browser: Chromium, count: int) -> None:
        place = stage.place(count, together=self._scene.together)
        self._windows = [PageWindow(browser, self._folder, *place) for _ in range(count)]
        for window in self._windows:
            self._cleanup.callback(window.close)

    def _click(self, what: str, step: Step) -> None:
        window = self._window(step)
        self._reach(window, what, step)
        window.press_mouse()
        self._pass(0.3)

    def _fill(self, fields: dict[str, str], step: Step) -> None:
        window = self._window(step)
        for selector, text in fields.items():
            self._reach(window, selector, step)
            window.press_mouse()
            for character in str(text):
                window.page.type(character)
                self._pass(KEYSTROKE)

    def _scroll(self, what: str | int, step: Step) -> None:
        window = self._window(step)
        distance = float(what) if isinstance(what, int) else self._box(window, what, step)[1] - 20
        for _ in window.scroll_by(distance):
            self._look()

    def _see(self, expression: str, step: Step) -> None:
        window = self._window(step)
        self._wait(lambda: window.shows(expression), step, f"{expression!r}", window.text)
        self._look()

    def _box(self, window: PageWindow, what: str, step: Step) -> tuple[float, float, float, float]:
        self._wait(lambda: window.box(what) is not None, step, f"{what!r}", window.text)
        return window.box(what) or (0, 0, 0, 0)

    def _reach(self, window: PageWindow, what: str, step: Step) -> None:
        """Move the pointer to an element, which is scrolled to if need be."""
        _, top, _, height = self._box(window, what, step)
        if top < 0 or top + height > window.size[1]:
            for _ in window.scroll_by(top - window.size[1] / 3):
                self._look()
        left, top, width, height = self._box(window, what, step)
        for _ in window.steps_to(left + min(width / 2, 120), top + height / 2):
            self._add(self._now(), tuple(window.last() for window in self._windows))
            time.sleep(TICK)
        self._pass(0.15)


class Command:
    """A command in a terminal, from the moment at which it is entered."""

    def __init__(self, terminal: Terminal, step: Step, *, started: bool = False) -> None:
        self._terminal = terminal
        self._step = step
        self._position = len(terminal.text)
        self._commands = terminal.commands
        # Input of a program that already runs, or a key, starts no command.
        self._input = started or terminal.busy

    @property
    def expected(self) -> str:
        """Return what the step waits for, in words."""
        end = "the prompt" if self._step.until == PROMPT else repr(self._step.until)
        return f"{self._step.expect!r} and then {end}" if self._step.expect else end

    def output(self) -> str:
        """Return what was printed since."""
        start = self._position
        if not self._input:
            text = self._terminal.text
            start = text.rfind("\x1b]133;C\a") if self._begun() else len(text)
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


def failed(expected: str, seen: str) -> ExpectationError:
    """Return an error with the end of what was seen."""
    lines = [line for line in seen.splitlines() if line.strip()][-TAIL:]
    return ExpectationError(
        "\n    ".join([f"expected {expected}; the end of what was seen:", *lines])
    )
