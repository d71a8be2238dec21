"""Play scenes on real terminals and pages, and record them."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.browser.chromium import Chromium, PageError
from film import stage
from film.browser import PageWindow
from film.command import Command, ExpectationError, failed, run_hidden
from film.location import Location
from film.recording import Picture, Take, Window
from film.storyboard import Scene, Step
from film.terminal import Terminal

TICK = 0.04
"""Seconds between two looks at the screen."""
KEYSTROKE = 0.055
LONGEST_TYPING = 4.0
"""Seconds for a long command."""
BEFORE_ENTER = 0.4


@dataclass(frozen=True)
class Player:
    """Play scenes one after the other."""

    location: Location
    browser: Chromium | None
    folder: Path
    """Where pictures of pages are stored."""
    speech: Callable[[str], float]
    """Returns how long a text is spoken, in seconds."""

    def play(self, scene: Scene) -> list[Take]:
        """Play a scene, and end all that it started; raise ExpectationError."""
        with ExitStack() as cleanup:
            performance = Performance(self, scene, cleanup)
            takes = [performance.take(step) for step in scene.steps]
            takes[-1].poster = scene.poster
            return takes


class Performance:
    """One scene while it is played: its terminals and windows, and the take in progress."""

    def __init__(self, player: Player, scene: Scene, cleanup: ExitStack) -> None:
        self._player = player
        self._scene = scene
        self._cleanup = cleanup
        self._environment = player.location.environment(alone=scene.alone)
        self._windows: list[PageWindow] = []
        self._terminals = [self._new_terminal() for _ in range(scene.terminals)]
        self._typing = bool(self._terminals)
        self._take = Take("", 0)
        self._began = 0.0
        self._badge = ""

    def take(self, step: Step) -> Take:
        """Play a step; raise ExpectationError, which names it."""
        try:
            return self._take_of(step)
        except (ExpectationError, PageError, TimeoutError) as error:
            what = "; ".join(f"{verb} {value!r}" for verb, value in step.actions)
            where = f"scene {self._scene.title!r}, step {step.number} ({what})"
            raise ExpectationError(f"{where}: {error}") from error

    def _take_of(self, step: Step) -> Take:
        """Run the actions of a step, and wait until its narration has ended."""
        speech = self._player.speech(step.say)
        self._take = Take(step.say, speech, lapse=step.lapse)
        self._began = time.monotonic()
        for verb, value in step.actions:
            getattr(self, f"_{verb}")(self._filled(value), step)
        if step.continues:
            self._follow(Command(self._terminals[step.pane - 1], step, started=True), step)
        self._look()
        while self._take.film_time(self._now()) < speech:
            self._pass(TICK)
        return self._take

    def _new_terminal(self) -> Terminal:
        rows = stage.rows(self._scene.terminals, together=self._scene.together)
        terminal = Terminal(self._player.location.clone, self._environment, rows)
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
            for name, text in self._player.location.placeholders().items():
                value = value.replace(name, text)
        return value

    # What is seen

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _look(self, *, at_pages: bool = True) -> None:
        """Record what the stage shows now, if it has changed; a look at a page takes a while."""
        moment = self._now()
        shown = self._windows if self._scene.together or not self._typing else []
        look = PageWindow.shot if at_pages else PageWindow.last
        self._add(moment, tuple(look(window) for window in shown))

    def _add(self, moment: float, windows: tuple[Window, ...]) -> None:
        shown = self._scene.together or self._typing
        terminals = tuple(terminal.lines() for terminal in self._terminals if shown)
        picture = Picture(self._scene.title, self._scene.decision, self._badge, terminals, windows)
        self._take.add(moment, picture)

    def _pass(self, seconds: float, *, at_pages: bool = True) -> None:
        """Let time pass, and record."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._look(at_pages=at_pages)
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
            self._pass(pause, at_pages=False)
        self._pass(BEFORE_ENTER, at_pages=False)
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
        run_hidden(text, step, self._player.location.clone, self._environment)
        if not self._take.pictures:
            self._began = time.monotonic()

    # Browser

    def _window(self, step: Step) -> PageWindow:
        return self._windows[step.pane - 1]

    def _open(self, addresses: str | list[str], step: Step) -> None:
        if self._player.browser is None:
            raise ExpectationError("there is no browser")
        paths = [addresses] if isinstance(addresses, str) else addresses
        if len(self._windows) != len(paths):
            self._new_windows(self._player.browser, len(paths))
        self._typing = False
        base = self._player.location.placeholders().get("{service}", "")
        for window, path in zip(self._windows, paths, strict=True):
            window.open(base + path if path.startswith("/") else path, step.within)
            window.shot()
        if not self._take.pictures:
            self._began = time.monotonic()  # it loads before the step begins
        self._look()

    def _new_windows(self, browser: Chromium, count: int) -> None:
        place = stage.place(count, together=self._scene.together)
        self._windows = [PageWindow(browser, self._player.folder, *place) for _ in range(count)]
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
        self._wait(
            lambda: window.found(expression) is not None, step, repr(expression), window.text
        )
        self._scroll_to(window, window.found(expression) or "")

    def _box(self, window: PageWindow, what: str, step: Step) -> tuple[float, float, float, float]:
        self._wait(lambda: window.box(what) is not None, step, f"{what!r}", window.text)
        return window.box(what) or (0, 0, 0, 0)

    def _scroll_to(self, window: PageWindow, what: str) -> None:
        """Bring an element into view, if it is not."""
        _, top, _, height = window.box(what) or (0, 0, 0, 0)
        if top < 0 or top + height > window.size[1]:
            for _ in window.scroll_by(top - window.size[1] / 3):
                self._look()
        self._look()

    def _reach(self, window: PageWindow, what: str, step: Step) -> None:
        """Move the pointer to an element, which is scrolled to if need be."""
        self._box(window, what, step)
        self._scroll_to(window, what)
        left, top, width, height = self._box(window, what, step)
        for _ in window.steps_to(left + min(width / 2, 120), top + height / 2):
            self._look(at_pages=False)
            time.sleep(TICK)
        self._pass(0.15)
