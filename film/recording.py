"""What was on the stage and when, and how long it stays in the film."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RATE = 25
"""Pictures of the film a second."""
PAUSE = 0.7
"""Seconds of silence after each step."""
LONGEST_IDLE = 1.5
"""Seconds that a picture stands still without narration; the rest is cut."""


@dataclass(frozen=True)
class Window:
    """A page, the address bar above it, and the pointer in it, in shares of its size."""

    address: str
    image: Path
    pointer: tuple[float, float] | None = None


@dataclass(frozen=True)
class Picture:
    """All that the stage shows: terminals (lines of HTML), or windows."""

    title: str
    decision: str = ""
    badge: str = ""
    terminals: tuple[tuple[str, ...], ...] = ()
    windows: tuple[Window, ...] = ()


@dataclass
class Take:
    """The recording of one step; times are real seconds from its start."""

    say: str
    speech: float
    """How long the narration lasts, in seconds."""
    poster: bool = False
    lapse: float = 1
    lapsed: tuple[float, float] | None = None
    """From when to when time was lapsed."""
    pictures: list[tuple[float, Picture]] = field(default_factory=list)

    def add(self, moment: float, picture: Picture) -> None:
        """Add a picture if it differs from the last one."""
        if not self.pictures or self.pictures[-1][1] != picture:
            self.pictures.append((moment, picture))

    def film_time(self, moment: float) -> float:
        """Return how long after the start of the step a moment is in the film, uncut."""
        begin, end = self.lapsed or (0.0, 0.0)
        inside = min(max(moment - begin, 0), end - begin)
        return moment - inside * (1 - 1 / self.lapse)


@dataclass(frozen=True)
class Shown:
    """A picture from a moment of the film on, in seconds."""

    start: float
    picture: Picture
    poster: bool = False


@dataclass(frozen=True)
class Line:
    """A line of narration and its first moment in the film, in seconds."""

    start: float
    text: str


@dataclass(frozen=True)
class Cut:
    """The film: every time is final."""

    pictures: tuple[Shown, ...]
    lines: tuple[Line, ...]
    duration: float


def cut(takes: list[Take]) -> Cut:
    """Put the takes one after the other."""
    start = 0.0
    pictures: list[Shown] = []
    lines: list[Line] = []
    for take in takes:
        if take.say:
            lines.append(Line(start, take.say))
        shown = list(paced(take))
        pictures += (Shown(start + moment, picture) for moment, picture in shown)
        if take.poster and pictures:
            last = pictures.pop()
            pictures.append(Shown(last.start, last.picture, poster=True))
        last_moment = shown[-1][0] if shown else 0.0
        start += max(take.speech, last_moment) + PAUSE
    # Of two pictures in one frame, only the later can be seen.
    frames = {round(shown.start * RATE): shown for shown in pictures}
    return Cut(tuple(frames.values()), tuple(lines), start)


def paced(take: Take) -> Iterator[tuple[float, Picture]]:
    """Yield the pictures of a step with their times in the film, idle time cut."""
    removed = previous = 0.0
    for moment, picture in take.pictures:
        now = take.film_time(moment)
        silent_since = max(previous, take.speech)
        removed += max(now - silent_since - LONGEST_IDLE, 0)
        previous = now
        yield now - removed, picture
