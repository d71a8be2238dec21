"""A storyboard is read as it was meant, or refused with the place of the mistake."""

import re
from pathlib import Path

import pytest

from film.__main__ import STORYBOARD
from film.storyboard import StoryboardError, choose, parse, read

CONTENT = {
    "make run from nothing": r"type: make run$",
    "a book and its reviews": r"curl .*/books/1/reviews",
    "a problem document": r'"status": 422',
    "the documentation": r"open: /docs",
    "the index": r"EXPLAIN[\s\S]*Index Scan",
    "a miss": r"fwd=miss",
    "a hit": r"bookstall; hit",
    "an outage of Redis under load": r"Redis killed",
    "the last copy": r"409",
    "the search": r"/products/search\?name=",
    "live reviews in two windows": r"open: \['/live\?book=1', '/live'\]",
    "a killed server": r"pkill -9 .*gunicorn",
    "rate limits": r"429[\s\S]*retry-after",
    "a range of days": r"adsfetch fetch .*",
    "a day that fails": r"failed 2026",
    "the rerun": r"1 of 1 days fetched",
    "two years": r"adsfetch backfill --years 2",
    "the calendar": r"adsfetch status --html",
    "the verdict of the checker": r"python -m stress.consistency",
    "where to read on": r"docs/walkthrough.md",
}


def scene(**keys):
    return {"scene": "Title", "steps": [{"say": "Hello."}], **keys}


def step(**keys):
    return [scene(steps=[{"say": "Hello."}, keys])]


def test_the_storyboard_of_the_film_is_valid():
    assert len(read(STORYBOARD)) >= 10


@pytest.mark.parametrize("expression", CONTENT.values(), ids=CONTENT)
def test_the_film_shows(expression):
    actions = [
        f"{verb}: {value}\n{step.expect}"
        for scene in read(STORYBOARD)
        for step in scene.steps
        for verb, value in step.actions
    ]
    assert re.search(expression, "\n".join(actions), re.MULTILINE)


def test_every_decision_on_the_stage_exists():
    decisions = STORYBOARD.parents[1] / "docs/decisions"
    for scene in read(STORYBOARD):
        for number, name in re.findall(r"Decision (\d+):.*docs/decisions/(\d{4})", scene.decision):
            assert int(number) == int(name)
            assert list(decisions.glob(f"{name}-*.md")), scene.title


def test_a_step_keeps_the_order_of_its_verbs():
    [scene] = parse(step(click="Add", fill={"#q": "Emma"}, see="Emma", within=3))
    assert scene.steps[1].actions == (("click", "Add"), ("fill", {"#q": "Emma"}), ("see", "Emma"))
    assert scene.steps[1].within == 3


def test_a_second_terminal_is_one_in_which_something_is_typed():
    assert parse(step(type="ls", **{"in": 2}))[0].terminals == 2
    assert parse(step(see="Emma", **{"in": 2}))[0].terminals == 0


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "a storyboard is a list of scenes"),
        ([], "a storyboard is a list of scenes"),
        (["Title"], "scene 1 is no mapping: 'Title'"),
        ([{"steps": [{"say": "Hello."}]}], "scene 1 needs `scene`"),
        ([{"scene": "Title"}], "scene 1 needs `scene`"),
        ([scene(decison="Typo")], "scene 1: unknown word 'decison'; known: scene, decision,"),
        ([scene(), scene()], "two scenes have one title: Title"),
        (step(tpye="ls"), "scene 'Title', step 2: unknown word 'tpye'; known: say, type,"),
        (step(type=7), "scene 'Title', step 2: `type` cannot be 7"),
        (step(within="long"), "scene 'Title', step 2: `within` cannot be 'long'"),
        (step(within=3), "scene 'Title', step 2 does nothing"),
        (step(type="ls", see="Emma"), "scene 'Title', step 2: `type` needs a step of its own"),
        (step(see="Emma", expect="Emma"), "scene 'Title', step 2: `expect` and `until` need"),
        (step(type="ls", expect="("), "scene 'Title', step 2: '(' is no expression: missing )"),
        (step(type="ls", **{"in": 3}), "scene 'Title', step 2: `in` is 1 or 2"),
        (step(type="ls", lapse=0.5), "scene 'Title', step 2: `lapse` is 1 or more"),
    ],
)
def test_a_mistake_is_named_with_its_place(document, message):
    with pytest.raises(StoryboardError, match=re.escape(message)):
        parse(document)


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    file = Path(tmp_path / "storyboard.yaml")
    file.write_text("- scene: [")
    with pytest.raises(StoryboardError, match=r"storyboard\.yaml is not YAML"):
        read(file)


def test_an_unknown_title_is_answered_with_those_that_exist():
    scenes = parse([scene(), scene(scene="Another")])
    assert choose(scenes, "Another") == scenes[1:]
    assert choose(scenes, None) == scenes
    with pytest.raises(StoryboardError, match="no scene has the title 'Other'; there are: Title;"):
        choose(scenes, "Other")


def test_before_a_single_scene_the_hidden_commands_of_earlier_ones_run():
    prepared = scene(steps=[{"run": "load"}, {"type": "ls"}, {"say": "Now.", "run": "date"}])
    scenes = parse([prepared, scene(scene="Another"), scene(scene="The third")])
    before, shown = choose(scenes, "The third")
    assert [step.actions for step in before.steps] == [(("run", "load"),)]
    assert shown == scenes[2]
