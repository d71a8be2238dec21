"""The documents: width, links, named files and tests, and the index of the decisions."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs/decisions"
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("[a-z]*/README.md")),
]
WALKTHROUGH = ROOT / "docs/walkthrough.md"
DEFINITION = re.compile(r'^\[([^\]]+)\]: (\S+)(?:\s+"(.+)")?$', re.MULTILINE)
"""A link that is used by its label: its title names a test in the file."""
CODE = re.compile(r"^( {4}|\t|```.*?^```)[^\n]*", re.MULTILINE | re.DOTALL)


def each(documents):
    names = [str(path.relative_to(ROOT)) for path in documents]
    return pytest.mark.parametrize("document", documents, ids=names)


@each(DOCUMENTS)
def test_a_line_has_at_most_120_characters(document):
    lines = document.read_text().splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120] == []


def headings(document):
    """Return the anchors of a document as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def is_broken(document, link):
    """Return whether ``link`` in ``document`` leads to no file, or to none of its headings."""
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    return not target.exists() or bool(anchor and anchor not in headings(target))


@each(DOCUMENTS)
def test_every_link_to_a_file_and_a_heading_resolves(document):
    text = CODE.sub("", document.read_text())
    links = [
        *re.findall(r"\]\(([^)\s]+)\)", text),
        *(link for _, link, _ in DEFINITION.findall(text)),
    ]
    own = [link for link in links if "://" not in link]
    assert [link for link in own if is_broken(document, link)] == []


@each(DOCUMENTS)
def test_every_label_of_a_link_is_defined_and_used(document):
    text = CODE.sub("", document.read_text())
    defined = {label for label, _, _ in DEFINITION.findall(text)}
    rest = DEFINITION.sub("", text)
    used = set(re.findall(r"\]\[([^\]]+)\]", rest))
    assert used - defined == set()
    assert [label for label in defined if f"[{label}]" not in rest] == []


def has_test(document, link, name):
    """Return whether the linked file has the test ``name``."""
    return f"\ndef {name}(" in (document.parent / link).read_text().replace("async def", "def")


@each(DOCUMENTS)
def test_every_named_test_exists(document):
    text = document.read_text()
    named = [(link, title) for _, link, title in DEFINITION.findall(text) if title]
    named += [(ROOT / path, name) for path, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)]
    assert [each for each in named if not has_test(document, *each)] == []


@each([p for p in DOCUMENTS if p.parent != DECISIONS and p.name != "CHANGELOG.md"])
def test_every_named_file_of_the_code_exists(document):
    # Decisions and the changelog are about the past: they may name what was removed since.
    named = re.findall(
        r"`((?:app|bookreview|inventory|adsfetch|migrations|stack|stress|bench|clients|film|tests)/[\w./]*)",
        document.read_text(),
    )
    assert [name for name in named if not (ROOT / name.rstrip(".")).exists()] == []


def test_decisions_are_numbered_consecutively_and_stand_in_the_index():
    records = sorted(DECISIONS.glob("0*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    index = (DECISIONS / "README.md").read_text()
    assert [path.name for path in records if path.name not in index] == []


@pytest.mark.parametrize("heading", ["Status:", "## Context", "## Decision", "## Alternatives"])
def test_decisions_share_one_format(heading):
    records = DECISIONS.glob("0*.md")
    assert [path.name for path in records if heading not in path.read_text()] == []


def test_the_walk_through_names_existing_files_everywhere():
    # In the diagram names of files stand without the marks of code.
    named = re.findall(r"(?<![\w/])(?:[a-z]+/)*[a-z_.]+\.py\b", WALKTHROUGH.read_text())
    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_point_of_the_walk_through_has_code_a_test_a_figure_and_a_decision():
    rows = re.findall(r"^\| (.+) \|$", WALKTHROUGH.read_text(), re.MULTILINE)
    points = [cells for row in rows if len(cells := row.split(" | ")) == 5][2:]
    assert len(points) >= 28
    for point, code, test, figure, decision in points:
        assert (ROOT / code.strip("`")).exists(), point
        assert re.fullmatch(r"\[.+\]\[t\d+\]", test), point
        assert re.fullmatch(r"\[.+\]\[\w+\]|`(make|python) .+`", figure), point
        assert re.fullmatch(r"\[\d+\](, \[\d+\])*", decision), point


def test_the_figures_of_the_walk_through_are_those_of_the_linked_documents():
    text = WALKTHROUGH.read_text()
    links = {label: link for label, link, title in DEFINITION.findall(text) if not title}
    for words, label in re.findall(r"\[([^\]]*\d[^\]]*)\]\[(\w+)\]", text):
        if label in links:
            linked = (WALKTHROUGH.parent / links[label].partition("#")[0]).read_text()
            for number in re.findall(r"\d[\d,.]+", words):
                assert number in linked, words
