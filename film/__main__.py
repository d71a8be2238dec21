"""`make film`, or `python -m film`: play the storyboard, and write the film if all went as told."""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from clients.browser import chromium
from film import narration, stage, storyboard, video
from film.command import ExpectationError
from film.location import ROOT, Location
from film.player import Player
from film.recording import Take, cut
from stack.process import CouldNotStartError

STORYBOARD = Path(__file__).parent / "storyboard.yaml"
NAME = "walkthrough"
MISSING = 2
"""The exit code if a program is missing."""


@click.command()
@click.option("--only", metavar="TITLE", help="Show only the scene with this title.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "docs",
    help="The folder of the film; else docs/.",
)
@click.option(
    "--stills",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write a picture of every five seconds to this folder.",
)
def main(only: str | None, out: Path, stills: Path | None) -> None:
    """Play the storyboard against a fresh service, and record the film of the walk-through."""
    signal.signal(signal.SIGTERM, exit_on_signal)
    if missing := missing_programs():
        click.echo(f"make film needs {' and '.join(missing)}.", err=True)
        sys.exit(MISSING)
    try:
        chosen = storyboard.choose(storyboard.read(STORYBOARD), only)
        with tempfile.TemporaryDirectory(prefix="bookstall-") as folder:
            click.echo(film(chosen, Path(folder), out.resolve(), stills, whole=only is None))
    except (
        storyboard.StoryboardError,
        ExpectationError,
        CouldNotStartError,
        narration.NarrationError,
        video.VideoError,
    ) as error:
        click.echo(error, err=True)
        sys.exit(1)


def film(
    scenes: tuple[storyboard.Scene, ...],
    folder: Path,
    out: Path,
    stills: Path | None,
    *,
    whole: bool,
) -> str:
    """Make the film of some scenes, and return a line about it."""
    with chromium.Chromium(str(chromium.find())) as browser:
        takes = play(scenes, browser, folder)
        cut_film = cut(takes)
        click.echo(f"Drawing {len(cut_film.pictures)} pictures")
        files = list(stage.draw(browser, cut_film, folder))
    click.echo("Encoding")
    pairs = list(zip(cut_film.pictures, files, strict=True))
    out.mkdir(parents=True, exist_ok=True)
    movie, text = out / f"{NAME}.mp4", out / f"{NAME}.vtt"
    narration.track(cut_film.lines, cut_film.duration, folder / "voice.wav")
    video.encode(pairs, cut_film.duration, folder / "voice.wav", movie)
    text.write_text(narration.webvtt(narration.captions(cut_film.lines)))
    chosen = [path for shown, path in pairs if shown.poster] or files
    video.poster(chosen[-1], out / f"{NAME}.png")
    if stills is not None:
        video.stills(movie, stills)
    return video.check(movie, text, whole=whole)


def play(
    scenes: tuple[storyboard.Scene, ...], browser: chromium.Chromium, folder: Path
) -> list[Take]:
    """Play the scenes in a fresh clone, beside a fresh service."""
    takes = []
    with Location() as location:
        click.echo("Starting the service")
        location.start_stack()
        # Before it is played: what runs on the stage must not wait for the voice.
        for step in (step for scene in scenes for step in scene.steps):
            narration.length(step.say)
        player = Player(location, browser, folder, narration.length)
        for number, scene in enumerate(scenes, 1):
            click.echo(f"{number}/{len(scenes)} {scene.title}")
            played = player.play(scene)
            if not all(step.hidden for step in scene.steps):
                click.echo(f"    {cut(played).duration:.0f} s")
                takes += played
    return takes


def missing_programs() -> list[str]:
    """Name what this machine lacks."""
    missing = [name for name in ("git", "bash", "ffmpeg", "ffprobe") if not shutil.which(name)]
    if chromium.find() is None:
        missing.append("Chromium or Chrome on the PATH, or its name in CHROMIUM")
    if "ffmpeg" not in missing and not has_flite():
        missing.append("an ffmpeg with flite, such as Debian's")
    return missing


def has_flite() -> bool:
    """Return whether ffmpeg can speak."""
    command = ("ffmpeg", "-v", "error", "-filters")
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    return " flite " in done.stdout


def exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit by an exception, so that every `finally` runs."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
