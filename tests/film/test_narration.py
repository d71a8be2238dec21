"""Captions and the sound are at the same times, and both at those of the pictures."""

import re
import wave

import pytest

from film.narration import (
    BREATH,
    LONGEST_CAPTION,
    RATE,
    WIDTH,
    captions,
    divide,
    escape,
    length,
    track,
    webvtt,
)
from film.recording import Line

SECOND = b"\1\0" * RATE
LONG = "A sentence that is far longer than a caption may be, " * 4 + "ends here."


def voice(sentence):
    """Say every sentence in one second."""
    return SECOND


def times(cues):
    return [(pytest.approx(cue.start), pytest.approx(cue.end)) for cue in cues]


def test_every_sentence_has_a_caption_while_it_is_spoken():
    cues = list(captions((Line(0, "One. Two?"), Line(60, "Three.")), voice))
    assert [cue.text for cue in cues] == ["One.", "Two?", "Three."]
    assert times(cues) == [(0, 1), (1 + BREATH, 2 + BREATH), (60, 61)]


def test_the_sound_starts_with_the_caption(tmp_path):
    lines = (Line(0.5, "One. Two."), Line(4, "Three."))
    track(lines, 6.5, tmp_path / "voice.wav", voice)
    with wave.open(str(tmp_path / "voice.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (RATE, 6.5 * RATE)
        samples = file.readframes(file.getnframes())
    for cue in captions(lines, voice):
        first, last = (WIDTH * round(moment * RATE) for moment in (cue.start, cue.end))
        assert samples[first - WIDTH : first] == b"\0\0"
        assert samples[first:last] == SECOND
        assert samples[last : last + WIDTH] == b"\0\0"


def test_a_text_lasts_as_long_as_its_sentences_and_the_breaths_between():
    assert length("One. Two. Three.", voice) == pytest.approx(3 + 2 * BREATH)
    assert length("", voice) == 0


def test_a_long_sentence_has_several_captions_without_a_gap():
    cues = list(divide(10, 8, LONG))
    assert max(len(cue.text) for cue in cues) <= LONGEST_CAPTION
    assert " ".join(cue.text for cue in cues) == LONG
    assert [cue.start for cue in cues[1:]] == [cue.end for cue in cues[:-1]]
    assert (cues[0].start, cues[-1].end) == (10, pytest.approx(18))


def test_the_parts_of_a_sentence_have_about_one_length():
    sizes = [len(cue.text) for cue in divide(0, 1, LONG)]
    assert min(sizes) > max(sizes) / 2


def test_captions_are_webvtt():
    assert webvtt(captions((Line(3599.5, "One. Two."),), voice)) == (
        "WEBVTT\n\n00:59:59.500 --> 01:00:00.500\nOne.\n\n01:00:00.750 --> 01:00:01.750\nTwo.\n"
    )


def test_a_text_is_quoted_for_ffmpeg():
    # ffmpeg unquotes twice: the filter graph first, then the options of the filter.
    quoted = escape("It's 9:30, [really]; a\\b")
    once = re.sub(r"\\(.)", r"\1", quoted)
    assert not re.search(r"(?<!\\)[\[\],;']", quoted)
    assert re.sub(r"\\(.)", r"\1", once) == "It's 9:30, [really]; a\\b"
