"""The documents: width, links, and the index of the decisions."""

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
CODE = re.compile(r"^( {4}|\t|```.*?^```)[^\n]*", re.MULTILINE | re.DOTALL)


def each(documents):
    names = [str(path.relative_to(ROOT)) for path in documents]
    return pytest.mark.parametrize("document", documents, ids=names)


@each(DOCUMENTS)
def test_a_line_has_at_most_120_characters(document):
    lines = document.read_text().splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120] == []


@each(DOCUMENTS)
def test_every_link_to_a_file_resolves(document):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", CODE.sub("", document.read_text()))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (document.parent / link).exists()] == []


@each([p for p in DOCUMENTS if p.parent != DECISIONS and p.name != "CHANGELOG.md"])
def test_every_named_file_of_the_code_exists(document):
    # Decisions and the changelog are about the past: they may name what was removed since.
    named = re.findall(
        r"`((?:app|bookreview|inventory|adsfetch|migrations|stack|stress|bench|clients|tests)/[\w./]*)",
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
