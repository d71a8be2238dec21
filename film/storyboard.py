"""Read a storyboard: a YAML file with a list of scenes, each with a list of steps.

    - scene: Redis fails              # unique title, shown on the stage
      decision: "One sentence."       # optional: shown below the picture
      alone: true                     # optional: without the addresses of the running stack
      together: true                  # optional: windows above a small terminal, not in turn
      poster: true                    # optional: its last picture becomes the poster
      steps:
        - say: "Spoken while the rest of the step runs."
          type: "curl -i {service}/books"   # typed into a shell
          expect: "HTTP/1.1 200"            # a regular expression that the output must match
          until: "prompt"                   # what ends the step: the prompt, or an expression
          within: 20                        # seconds for `expect`, `until` and `see`
          lapse: 8                          # show the waiting time this many times faster
        - press: Control+C                  # a key, in the terminal or the page shown
        - open: /live                       # one page, or a list of two beside each other
          fill: {"#q": "Emma"}              # type text into the field of a selector
          click: Search                     # visible text or a selector
          scroll: Newest                    # visible text, a selector, or pixels
          see: "4 reviews"                  # an expression that must be visible in the page
          in: 2                             # the window or terminal, if there are two
        - run: "redis-server ..."           # a command that is not shown; it must succeed

With `expect` or `until` and no verb, a step follows the command that still runs; all of its output
counts.
A step needs none of these, but one. Verbs of a page run in the order in which they are written.
A typed command without `expect` and `until` must exit with 0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

PAGE_VERBS = ("open", "click", "fill", "press", "scroll", "see")
VERBS = ("type", "run", *PAGE_VERBS)
SCENE_KEYS = {
    "scene": str,
    "decision": str,
    "alone": bool,
    "together": bool,
    "poster": bool,
    "steps": list,
}
STEP_KEYS = {
    "say": str,
    "type": str,
    "run": str,
    "open": (str, list),
    "click": str,
    "fill": dict,
    "press": str,
    "scroll": (str, int),
    "see": str,
    "expect": str,
    "until": str,
    "within": (int, float),
    "lapse": (int, float),
    "in": int,
}
PROMPT = "prompt"


class StoryboardError(ValueError):
    """The storyboard is not as it should be; the message names the scene and the step."""


@dataclass(frozen=True)
class Step:
    """One line of narration, and what happens meanwhile."""

    number: int
    actions: tuple[tuple[str, Any], ...]
    say: str = ""
    expect: str = ""
    until: str = PROMPT
    within: float = 20
    lapse: float = 1
    pane: int = 1

    @property
    def hidden(self) -> bool:
        """Return whether it shows and says nothing."""
        return not self.say and {verb for verb, _ in self.actions} == {"run"}

    @property
    def continues(self) -> bool:
        """Return whether it follows the command of an earlier step."""
        return not self.actions and (bool(self.expect) or self.until != PROMPT)


@dataclass(frozen=True)
class Scene:
    """Steps under one title."""

    title: str
    steps: tuple[Step, ...]
    decision: str = ""
    alone: bool = False
    together: bool = False
    poster: bool = False

    @property
    def terminals(self) -> int:
        """Return how many terminals the scene shows."""
        typed = [step.pane for step in self.steps if dict(step.actions).keys() & {"type"}]
        return max(typed, default=0)


def read(path: Path) -> tuple[Scene, ...]:
    """Return the scenes of a file; raise StoryboardError."""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise StoryboardError(f"{path.name} is not YAML: {error}") from error
    return parse(document)


def choose(scenes: tuple[Scene, ...], title: str | None) -> tuple[Scene, ...]:
    """Return all scenes, or that with a title and, before it, what prepares it off the stage.

    Raise StoryboardError if no scene has the title.
    """
    if title is None:
        return scenes
    titles = [scene.title for scene in scenes]
    if title not in titles:
        raise StoryboardError(f"no scene has the title {title!r}; there are: {'; '.join(titles)}")
    number = titles.index(title)
    before = (hidden(scene) for scene in scenes[:number])
    return (*(scene for scene in before if scene.steps), scenes[number])


def hidden(scene: Scene) -> Scene:
    """Return a scene without the steps that show or say something."""
    return replace(scene, steps=tuple(step for step in scene.steps if step.hidden))


def parse(document: Any) -> tuple[Scene, ...]:
    """Return the scenes of a document; raise StoryboardError."""
    if not isinstance(document, list) or not document:
        raise StoryboardError("a storyboard is a list of scenes")
    scenes = tuple(scene(number, entry) for number, entry in enumerate(document, 1))
    titles = [scene.title for scene in scenes]
    if repeated := {title for title in titles if titles.count(title) > 1}:
        raise StoryboardError(f"two scenes have one title: {', '.join(sorted(repeated))}")
    return scenes


def scene(number: int, entry: Any) -> Scene:
    """Return one scene; raise StoryboardError."""
    where = f"scene {number}"
    check_keys(entry, SCENE_KEYS, where)
    if not entry.get("scene") or not entry.get("steps"):
        raise StoryboardError(f"{where} needs `scene`, its title, and `steps`")
    title = entry["scene"]
    return Scene(
        title=title,
        steps=tuple(step(f"scene {title!r}", *item) for item in enumerate(entry["steps"], 1)),
        decision=entry.get("decision", ""),
        alone=entry.get("alone", False),
        together=entry.get("together", False),
        poster=entry.get("poster", False),
    )


def step(scene: str, number: int, entry: Any) -> Step:
    """Return one step; raise StoryboardError."""
    where = f"{scene}, step {number}"
    check_keys(entry, STEP_KEYS, where)
    actions = tuple((key, value) for key, value in entry.items() if key in VERBS)
    verbs = [verb for verb, _ in actions]
    if not actions and not any(entry.get(word) for word in ("say", "expect", "until")):
        raise StoryboardError(f"{where} does nothing")
    if "type" in verbs and len(verbs) > 1:
        raise StoryboardError(f"{where}: `type` needs a step of its own")
    if {"expect", "until"} & entry.keys() and verbs and not {"type", "press"} & set(verbs):
        raise StoryboardError(f"{where}: `expect` and `until` need `type` or `press`")
    if not 1 <= entry.get("in", 1) <= 2:  # noqa: PLR2004  # there is room for two
        raise StoryboardError(f"{where}: `in` is 1 or 2")
    if entry.get("lapse", 1) < 1:
        raise StoryboardError(f"{where}: `lapse` is 1 or more")
    for expression in expressions(entry):
        check_expression(expression, where)
    return Step(
        number=number,
        actions=actions,
        say=" ".join(entry.get("say", "").split()),
        expect=entry.get("expect", ""),
        until=entry.get("until", PROMPT),
        within=entry.get("within", 20),
        lapse=entry.get("lapse", 1),
        pane=entry.get("in", 1),
    )


def check_keys(entry: Any, known: dict[str, Any], where: str) -> None:
    """Raise StoryboardError for an unknown key, or a value of a wrong type."""
    if not isinstance(entry, dict):
        raise StoryboardError(f"{where} is no mapping: {entry!r}")
    for key, value in entry.items():
        if key not in known:
            raise StoryboardError(f"{where}: unknown word {key!r}; known: {', '.join(known)}")
        if not isinstance(value, known[key]):
            raise StoryboardError(f"{where}: `{key}` cannot be {value!r}")


def expressions(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the regular expressions of a step."""
    for key in ("expect", "until", "see"):
        if key in entry:
            yield entry[key]


def check_expression(expression: str, where: str) -> None:
    """Raise StoryboardError if a regular expression does not compile."""
    try:
        re.compile(expression)
    except re.error as error:
        raise StoryboardError(f"{where}: {expression!r} is no expression: {error}") from error
