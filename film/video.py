"""Join pictures and sound to an MP4 file, and check it, with ffmpeg."""

import json
import re
import subprocess
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from film.recording import RATE, Shown

KEY_FRAMES = 10
"""Seconds between two pictures to which a player can jump."""
LARGEST = 12_000_000
"""Bytes."""
SHORTEST, LONGEST = 240, 360
"""Seconds of the whole film."""
LOUDNESS = "loudnorm=I=-16:TP=-1.5:LRA=11"


class VideoError(RuntimeError):
    """Ffmpeg failed, or the film is not as it should be."""


def encode(
    pictures: Iterable[tuple[Shown, Path]], duration: float, sound: Path, film: Path
) -> None:
    """Write the film: pictures, each from its time on, and the sound.

    A picture that stands still is one frame, however long: so the file is small, and soon encoded.
    """
    playlist = sound.with_name("pictures.txt")
    playlist.write_text(concatenation(pictures, duration))
    run(
        *("ffmpeg", "-y", "-v", "error", "-f", "concat", "-safe", "0", "-i", str(playlist)),
        *("-i", str(sound), "-t", str(duration), "-fps_mode", "vfr"),
        *("-vf", "scale=out_color_matrix=bt709,format=yuv420p"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
        # With B-frames, the last picture of a film of few pictures would have no duration.
        *("-c:v", "libx264", "-tune", "animation", "-bf", "0", "-crf", "25"),
        *("-force_key_frames", f"expr:gte(t,n_forced*{KEY_FRAMES})"),
        *("-af", LOUDNESS, "-c:a", "aac", "-b:a", "64k", "-ar", "48000"),
        *("-movflags", "+faststart", str(film)),
    )


def concatenation(pictures: Iterable[tuple[Shown, Path]], duration: float) -> str:
    """Return the script of ffmpeg that shows every picture from the frame nearest to its time."""
    starts, files = zip(
        *((round(shown.start * RATE), path) for shown, path in pictures), strict=True
    )
    # The first is there from the start. The last one begins again a frame before the end: ffmpeg
    # drops a picture that would begin at the end, and the one before with it.
    edges = [0, *starts[1:], round(duration * RATE) - 1]
    lines = ["ffconcat version 1.0"]
    for path, (start, end) in zip(files, pairwise(edges), strict=True):
        lines += [f"file '{path}'", f"duration {(end - start) / RATE}"]
    return "\n".join([*lines, f"file '{files[-1]}'", ""])  # ffmpeg ignores the last duration


def poster(picture: Path, path: Path) -> None:
    """Write a picture, small."""
    size = "scale=1280:-1:flags=lanczos,split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none"
    run("ffmpeg", "-y", "-v", "error", "-i", str(picture), "-vf", size, str(path))


def stills(film: Path, folder: Path, seconds: int = 5) -> None:
    """Write a picture of the film for every five seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    rate = f"fps=1/{seconds}:round=up,scale=1280:-1"
    run("ffmpeg", "-y", "-v", "error", "-i", str(film), "-vf", rate, str(folder / "%03d.png"))


def check(film: Path, captions: Path, *, whole: bool) -> str:
    """Return what the file is, in a line; raise VideoError if it is not as promised."""
    probed = probe(film)
    streams = {stream["codec_type"]: stream for stream in probed["streams"]}
    picture, sound = streams.get("video", {}), streams.get("audio", {})
    duration, size = float(probed["format"]["duration"]), film.stat().st_size
    last = re.findall(r"--> (\d+):(\d+):([\d.]+)", captions.read_text())[-1:]
    spoken = [int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in last]
    wrong = [
        name
        for name, right in {
            "h264 video": picture.get("codec_name") == "h264",
            "yuv420p": picture.get("pix_fmt") == "yuv420p",
            "1280x720": picture.get("width", 0) >= 1280 and picture.get("height", 0) >= 720,  # noqa: PLR2004
            "pictures to the end": float(picture.get("duration", 0)) > duration - 1,
            "a voice": sound.get("codec_name") == "aac",
            "captions": bool(spoken) and spoken[0] <= duration,
            f"at most {LARGEST} bytes": size <= LARGEST,
            f"{SHORTEST} to {LONGEST} s": not whole or SHORTEST <= duration <= LONGEST,
        }.items()
        if not right
    ]
    shape = f"{picture.get('width')}x{picture.get('height')}"
    summary = f"{film}: {duration:.1f} s, {shape}, {size / 1e6:.1f} MB"
    if wrong:
        raise VideoError(f"{summary}; it should have: {', '.join(wrong)}")
    return summary


def probe(film: Path) -> dict[str, Any]:
    """Return what ffprobe says of a file."""
    options = ("-v", "error", "-of", "json", "-show_format", "-show_streams")
    document: dict[str, Any] = json.loads(run("ffprobe", *options, str(film)))
    return document


def run(*command: str) -> str:
    """Run a program, and return its output; raise VideoError."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise VideoError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout
