"""Waiting is shown faster or cut, and narration starts with its step."""

from pathlib import Path

import pytest

from film.recording import LONGEST_IDLE, PAUSE, Picture, Take, cut
from film.video import concatenation


def take(*moments, say="", speech=0.0, **options):
    recorded = Take(say, speech, **options)
    for moment in moments:
        recorded.add(moment, Picture(f"picture at {moment}"))
    return recorded


def starts(*takes):
    return [pytest.approx(shown.start) for shown in cut(list(takes)).pictures]


def test_a_picture_that_has_not_changed_is_recorded_once():
    recorded = take(0)
    recorded.add(1, Picture("picture at 0"))
    assert len(recorded.pictures) == 1


def test_a_step_lasts_until_both_its_narration_and_its_actions_have_ended():
    film = cut([take(0, 1, say="Short.", speech=0.5), take(0, say="Long.", speech=9), take(0)])
    assert [(line.start, line.text) for line in film.lines] == [
        (0, "Short."),
        (pytest.approx(1 + PAUSE), "Long."),
    ]
    assert film.pictures[-1].start == pytest.approx(1 + PAUSE + 9 + PAUSE)
    assert film.duration == pytest.approx(film.pictures[-1].start + PAUSE)


def test_lapsed_time_passes_faster():
    assert starts(take(0, 1, 9, 10, speech=20, lapse=4, lapsed=(1, 9))) == [0, 1, 3, 4]


def test_a_picture_within_the_lapsed_time_keeps_its_place():
    assert starts(take(5, speech=20, lapse=4, lapsed=(1, 9))) == [2]


def test_idle_time_without_narration_is_cut():
    assert starts(take(0, 10, 11, 50)) == [0, LONGEST_IDLE, LONGEST_IDLE + 1, 2 * LONGEST_IDLE + 1]


def test_idle_time_under_narration_is_not_cut():
    assert starts(take(0, 10, 15, speech=12)) == [0, 10, 12 + LONGEST_IDLE]


def test_the_poster_is_the_last_picture_of_its_step():
    film = cut([take(0, 1, poster=True), take(0)])
    assert [shown.poster for shown in film.pictures] == [False, True, False]


def test_pictures_are_shown_in_whole_frames_from_the_start_to_the_end():
    film = cut([take(0.5, 1.013, speech=2)])
    files = [Path("a.png"), Path("b.png")]
    script = concatenation(zip(film.pictures, files, strict=True), film.duration)
    assert script.splitlines() == [
        *("ffconcat version 1.0", "file 'a.png'", "duration 1.0", "file 'b.png'", "duration 1.68"),
        "file 'b.png'",
    ]


def test_of_two_pictures_in_one_frame_the_later_is_shown():
    assert starts(take(0, 0.52, 0.525, speech=1)) == [0, 0.525]
