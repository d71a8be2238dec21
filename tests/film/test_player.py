"""Scenes in real shells: what is recorded, what fails and how, and that nothing is left behind."""

import contextlib
import html
import re

import psutil
import pytest

from film import player
from film.command import ExpectationError
from film.location import Location
from film.processes import marked
from film.storyboard import parse
from tests.waiting import PATIENCE


@pytest.fixture
def location():
    with contextlib.closing(Location()) as location:
        location.clone.mkdir(parents=True)
        yield location


@pytest.fixture
def play(location, tmp_path, monkeypatch):
    """Play the steps of one scene without narration, typed fast, and return its takes."""
    monkeypatch.setattr(player, "KEYSTROKE", 0.005)
    monkeypatch.setattr(player, "BEFORE_ENTER", 0.005)

    def play(*steps, **scene):
        steps = [{"within": PATIENCE, **step} for step in steps]
        [scene] = parse([{"scene": "Title", "steps": steps, **scene}])
        return player.Player(location, None, tmp_path, lambda text: 0).play(scene)

    return play


def screen(take, terminal=0):
    """Return the last screen of a take as text."""
    lines = take.pictures[-1][1].terminals[terminal]
    return html.unescape(re.sub(r"<[^>]*>", "", "\n".join(lines))).rstrip()


def message(play, *steps):
    with pytest.raises(ExpectationError) as raised:
        play(*steps)
    return str(raised.value)


def test_a_command_is_typed_and_its_output_shown(play):
    def pictures():
        [take] = play({"type": "echo $((6 * 7))", "expect": "^42$"})
        assert screen(take).splitlines() == ["$ echo $((6 * 7))", "42", "$"]
        return len(take.pictures)

    # The typing can be seen, unless a busy machine shows all of it at once.
    assert any(pictures() > 10 for _ in range(5))


def test_the_error_names_scene_step_command_expectation_and_output(play):
    first = {"type": "echo one"}
    second = {"type": "seq 20; echo the end", "expect": "tw[o]", "within": 600}
    assert message(play, first, second).splitlines() == [
        "scene 'Title', step 2 (type 'seq 20; echo the end'): "
        "expected 'tw[o]' and then the prompt; seen at the end:",
        *(f"    {number}" for number in range(12, 21)),
        "    the end",
    ]


def test_the_echo_of_a_command_is_not_its_output(play):
    assert "expected 'three'" in message(play, {"type": "true three", "expect": "three"})


def test_the_output_of_the_command_before_is_not_its_output(play):
    steps = [{"type": "echo three"}, {"type": "true", "expect": "three"}]
    assert "step 2 (type 'true'): expected 'three'" in message(play, *steps)


def test_a_command_that_fails_is_an_error_unless_something_is_expected(play):
    assert "expected exit code 0, not 3" in message(play, {"type": "(exit 3)"})
    play({"type": "(echo refused; exit 3)", "expect": "refused"})


def test_a_command_that_does_not_end_in_time_is_an_error(play):
    first = {"type": "echo started; sleep 600", "until": "^started$"}
    failure = message(play, first, {"expect": "started", "within": 0.1})
    assert "expected 'started' and then the prompt within 0.1 s" in failure
    assert failure.endswith("started")


def test_a_command_that_ends_before_its_output_matches_is_an_error_at_once(play):
    assert "'ready'" in message(play, {"type": "echo crashed", "until": "ready", "within": 600})


def test_a_command_goes_on_while_others_are_typed_in_a_second_terminal(play):
    *_, last = play(
        {"type": "while sleep 0.05; do echo tick | tee -a log; done", "until": "^tick"},
        {"type": "until [ $(wc -l < log) -gt 9 ]; do sleep 0.1; done; echo done", "in": 2},
    )
    assert screen(last, 0).count("tick\n") > 3
    assert screen(last, 1).splitlines()[1:] == ["done", "$"]


def test_a_command_that_goes_on_reads_what_is_typed_and_ends_with_a_key(play):
    *_, last = play(
        {"type": "cat", "until": "^"},
        {"type": "hello", "until": "^hello$"},
        {"press": "Control+C"},
        {"type": "echo $?", "expect": "^130$"},
    )
    assert "130" in screen(last)


def test_lines_of_one_command_may_be_continued(play):
    [take] = play({"type": "echo one \\\n  two", "expect": "^one two$"})
    assert screen(take).splitlines() == ["$ echo one \\", ">   two", "one two", "$"]


def test_names_in_braces_are_replaced_and_other_braces_stay(play, location):
    play({"type": """echo '{"rating": 5}' {work}""", "expect": f'{{"rating": 5}} {location.home}'})


def test_a_progress_bar_stays_on_its_line(play):
    [take] = play({"type": r"for i in 1 2 3; do printf '\r%s of 3' $i; done; echo"})
    assert screen(take).splitlines()[1:] == ["3 of 3", "$"]


def test_long_output_scrolls(play):
    [take] = play({"type": "seq 100"})
    assert screen(take).splitlines()[-2:] == ["100", "$"]


def test_colours_are_shown_and_markup_is_text(play):
    [take] = play({"type": r"printf '\e[1;31m<b>&\e[0m\n'"})
    line = take.pictures[-1][1].terminals[0][1]
    assert line == '<span class="f-red bold">&lt;b&gt;&amp;</span>'


def test_waiting_is_lapsed_and_says_so(play):
    [take] = play({"type": "sleep 1", "lapse": 8})
    begin, end = take.lapsed
    assert end - begin > 0.9
    assert take.film_time(end) - take.film_time(begin) == pytest.approx((end - begin) / 8)
    assert {picture.badge for _, picture in take.pictures} == {"", "8 times faster"}
    assert take.pictures[0][1].badge == ""


def test_a_hidden_command_is_not_shown_and_has_to_succeed(play):
    *_, last = play({"run": "echo one > file"}, {"type": "cat file", "expect": "^one$"})
    assert "echo" not in screen(last)
    assert "exit code 0 within" in message(play, {"run": "echo why; exit 4"})
    assert message(play, {"run": "echo why; exit 4"}).endswith(
        "(it was 4); seen at the end:\n    why"
    )
    assert "(it still runs)" in message(play, {"run": "sleep 600", "within": 0.5})


def test_neither_the_prompt_nor_a_command_shows_where_the_film_is_made(play, location):
    [take] = play({"type": "git --version && echo ~+ | sed s,$HOME,~,"})
    assert str(location.folder) not in screen(take)


def test_commands_have_neither_settings_of_the_caller_nor_of_make(play, monkeypatch):
    for name in ("DATABASE_URL", "REDIS_URL", "MAKEFLAGS", "MAKELEVEL", "PYTHONWARNINGS"):
        monkeypatch.setenv(name, "of the caller")
    play({"type": "env", "expect": r"\A(?![\s\S]*of the caller)"})


def test_what_a_scene_starts_in_its_terminals_ends_with_it(play, location):
    play({"type": "(trap '' HUP TERM; sleep 600) & sleep 601", "until": "^"})
    assert marked(str(location.folder)) == []


def test_what_a_scene_starts_ends_with_it_when_it_fails(play, location):
    message(play, {"type": "sleep 600 &"}, {"type": "false"})
    assert marked(str(location.folder)) == []


def test_what_left_its_session_ends_with_the_film(play, location):
    play({"run": "setsid sleep 600 & "})
    [process] = marked(str(location.folder))
    location.close()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert not location.folder.exists()


def test_a_step_without_a_verb_follows_the_command_that_still_runs(play):
    command = "for i in 1 2; do echo line $i; sleep 0.3; done; echo the end"
    steps = [{"type": command, "until": "line 1"}, {"until": "line 2"}]
    takes = play(*steps, {"expect": r"line 1\n[\s\S]*^the end$"})
    assert "the end" in screen(takes[-1])
    assert "expected 'three' and then the prompt" in message(play, *steps, {"expect": "three"})


def test_the_prompt_starts_on_a_line_of_its_own(play):
    [take] = play({"type": "printf 'no newline'", "expect": r"\Ano newline\Z"})
    assert screen(take).splitlines()[1:] == ["no newline", "$"]
