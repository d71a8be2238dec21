"""The voice: flite in ffmpeg; the captions come from the same sentences."""

import re
import subprocess
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from film.recording import Line

RATE = 16_000
"""Samples a second, as flite makes them."""
WIDTH = 2
"""Bytes of a sample."""
BREATH = 0.25
"""Seconds between two sentences."""
LONGEST_CAPTION = 84
"""Characters: two lines on a small screen."""
Voice = Callable[[str], bytes]
"""Returns the samples of a sentence."""
SPOKEN = {
    r"\bPostgreSQL\b": "post gress Q L",
    r"\bGraphQL\b": "graph Q L",
    r"\bSQL\b": "S Q L",
    r"\bAPIs?\b": "A P I",
    r"\bRedis\b": "reddiss",
    r"\badsfetch\b": "ads fetch",
    r"\bCSV\b": "C S V",
    r"\bOpenAPI\b": "open A P I",
    r"\bHTTP\b": "H T T P",
    r"\bETag\b": "E tag",
    r"/(?=[a-z])": " slash ",
    r"\b([2-5])([0-2])(\d)\b(?! \w+s\b)": r"\1 \2 \3",  # a status of HTTP
    r"\bJSON\b": "jason",
    r"\bUI\b": "U I",
    r"\bWebSocket": "web socket",
    r"\bOAuth\b": "oh auth",
    r"\bgunicorn\b": "G unicorn",
}
"""How flite says right what the captions spell right."""


class NarrationError(RuntimeError):
    """Flite could not speak a sentence."""


@dataclass(frozen=True)
class Caption:
    """A text, and from when to when it is shown, in seconds."""

    start: float
    end: float
    text: str


@cache
def speak(sentence: str) -> bytes:
    """Return the samples of a sentence, without silence at its ends."""
    for pattern, replacement in SPOKEN.items():
        sentence = re.sub(pattern, replacement, sentence)
    source = f"flite=voice=slt:text={escape(sentence)}"
    trim = "silenceremove=1:0:-50dB,areverse,silenceremove=1:0:-50dB,areverse"
    samples = ("-f", "s16le", "-ar", str(RATE), "-ac", "1")
    command = ("ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-af", trim, *samples, "-")
    done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603  # no shell
    if done.returncode or not done.stdout:
        raise NarrationError(f"flite: {sentence!r}: {done.stderr.decode().strip()}")
    return done.stdout


def escape(text: str) -> str:
    """Quote text for a filter of ffmpeg: once for its options, once for the graph."""
    option = re.sub(r"([\\':])", r"\\\1", text)
    return re.sub(r"([\\'\[\],;])", r"\\\1", option)


def sentences(text: str) -> list[str]:
    """Split a text after each sentence."""
    return re.split(r"(?<=[.!?:]) +", text) if text else []


def seconds(samples: bytes) -> float:
    """Return how long samples last."""
    return len(samples) / (RATE * WIDTH)


def timed(line: Line, voice: Voice) -> Iterator[tuple[float, str]]:
    """Yield the sentences of a line, each with its start in seconds."""
    start = line.start
    for sentence in sentences(line.text):
        yield start, sentence
        start += seconds(voice(sentence)) + BREATH


def length(text: str, voice: Voice = speak) -> float:
    """Return how long a text is spoken, in seconds."""
    ends = [start + seconds(voice(part)) for start, part in timed(Line(0, text), voice)]
    return max(ends, default=0.0)


def track(lines: tuple[Line, ...], duration: float, path: Path, voice: Voice = speak) -> None:
    """Write the whole sound of the film, every sentence at its time."""
    samples = bytearray(WIDTH * round(duration * RATE))
    for line in lines:
        for start, sentence in timed(line, voice):
            first = WIDTH * round(start * RATE)
            spoken = voice(sentence)
            samples[first : first + len(spoken)] = spoken
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(WIDTH)
        file.setframerate(RATE)
        file.writeframes(samples)


def captions(lines: tuple[Line, ...], voice: Voice = speak) -> Iterator[Caption]:
    """Yield a caption for each sentence, or for each part of a long one."""
    for line in lines:
        for start, sentence in timed(line, voice):
            yield from divide(start, seconds(voice(sentence)), sentence)


def divide(start: float, duration: float, sentence: str) -> Iterator[Caption]:
    """Yield the parts of a sentence; each lasts as long as its share of the characters."""
    count = -(-len(sentence) // LONGEST_CAPTION)
    parts = balanced(sentence.split(), count)
    pace = duration / sum(map(len, parts))
    for part in parts:
        end = start + pace * len(part)
        yield Caption(start, end, part)
        start = end


def balanced(words: list[str], count: int) -> list[str]:
    """Join words to about ``count`` parts of about one length, none longer than a caption."""
    target = min(LONGEST_CAPTION, len(" ".join(words)) / count + max(map(len, words)) / 2)
    parts = [words[0]]
    for word in words[1:]:
        longer = f"{parts[-1]} {word}"
        if len(longer) <= target:
            parts[-1] = longer
        else:
            parts.append(word)
    return parts


def webvtt(captions: Iterator[Caption]) -> str:
    """Return the captions as a WebVTT file."""
    cues = (f"{clock(cue.start)} --> {clock(cue.end)}\n{cue.text}\n" for cue in captions)
    return "\n".join(["WEBVTT\n", *cues])


def clock(moment: float) -> str:
    """Write seconds as WebVTT does: 00:01:02.345."""
    minutes, milliseconds = divmod(round(moment * 1000), 60_000)
    return (
        f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
    )
