"""The command lines and GraphQL operations in the documents: they are valid as they are written."""

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from graphql import GraphQLError, build_schema, parse, validate

from adsfetch.cli import ads
from app.config import Settings
from app.factory import create_app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
TEXTS = {path.name: path.read_text().replace("\\\n", "") for path in DOCUMENTS}
INDENTED = re.compile(r"(?:^ {4}.*\n|^\n)+", re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
OPERATION = re.compile(r"(query|mutation|subscription)\b.*\{|\{ ?\w", re.DOTALL)
MEASURED = re.compile(r"\d s\b|\d ms\b|last run ")


def blocks(text):
    """Return the indented blocks, without their indentation."""
    return [
        "\n".join(line[4:] for line in block.strip("\n").splitlines())
        for block in INDENTED.findall(text)
    ]


def lines(text):
    """Return what is written as code: the lines of blocks, and the spans within sentences."""
    found = [line for block in blocks(text) for line in block.splitlines()]
    return [*found, *(span.replace("\n", " ") for span in SPAN.findall(text))]


def command_lines(*programs):
    """Return (document, words) of each line that starts with one of ``programs``."""
    found = {}
    for name, text in TEXTS.items():
        for line in lines(text):
            command = line.removeprefix("$ ")
            if re.match(rf"({'|'.join(programs)})( |$)", command):
                words = shlex.split(command, comments=True)
                found.setdefault(shlex.join(words), (name, words))
    return [pytest.param(*found[key], id=f"{found[key][0]}: {key[:80]}") for key in sorted(found)]


@pytest.fixture(scope="module")
def service():
    return create_app(
        Settings(database_url="sqlite://", secret_key="any secret at all", testing=True)
    )


def check_words(command, words):
    """Check the words after ``command``; ``...`` is a value after an option, else any rest."""
    parent = None
    while isinstance(command, click.Group):
        parent = click.Context(command, parent=parent, **command.context_settings)
        if not words or words[0] == "...":
            return
        if words[0].startswith("-"):
            known = command.get_params(parent)
            assert any(words[0] in parameter.opts for parameter in known), words
            return
        command, words = command.commands[words[0]], words[1:]
    if not words:
        return  # it only names the command
    for at, word in enumerate(words):
        if word == "..." and words[at - 1].startswith("-"):
            words[at] = "123-456-7890"
    assert "..." not in words
    if command in ads.commands.values() and command.name in {"fetch", "backfill"}:
        named = {"--source", "--customer-id", "--customers", "--manager"} & {*words}
        assert named, "names no source"
    command.make_context(str(command.name), words, parent=parent)


@pytest.mark.parametrize(("document", "words"), command_lines("flask"))
def test_a_line_of_flask_is_valid(service, document, words):
    if words[1:2] != ["db"]:  # Flask-Migrate's
        check_words(service.cli, words[1:])


@pytest.mark.parametrize(
    ("document", "words"), command_lines("adsfetch", "python -m adsfetch", "flask ads")
)
def test_a_line_of_adsfetch_is_valid(document, words):
    check_words(ads, words[1 + words.index("adsfetch" if "adsfetch" in words else "ads") :])


@pytest.mark.parametrize(
    "line", ["backfill --out DIR", "update --nope", "fetch --nope", "nope", "fetch 2024-02-30"]
)
def test_an_invalid_line_is_found(line):
    with pytest.raises((click.UsageError, AssertionError, KeyError)):
        check_words(ads, line.split())


@cache
def help_of(module):
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("document", "words"), command_lines("python -m (?:bench|stress)[.a-z]*"))
def test_a_line_of_another_module_names_its_options(document, words):
    shown = help_of(words[2])
    options = [word for word in words[3:] if word.startswith("--")]
    assert [option for option in options if option not in shown] == []


@pytest.mark.parametrize(("document", "words"), command_lines("make"))
def test_a_line_of_make_names_a_target_and_its_variables(document, words):
    makefile = (ROOT / "Makefile").read_text()
    for word in words[1:]:
        name, is_variable, _ = word.partition("=")
        pattern = rf"\b{name}\b" if is_variable else rf"^{name}\b[^=\n]*:|^\.PHONY:.*\b{name}\b"
        assert re.search(pattern, makefile, re.MULTILINE), word


@pytest.mark.parametrize(("document", "words"), command_lines("pytest"))
def test_a_line_of_pytest_names_files(document, words):
    assert [word for word in words[1:] if not (ROOT / word).exists()] == []


@pytest.mark.parametrize("document", TEXTS)
def test_a_graphql_operation_is_valid(service, document):
    schema = build_schema(service.test_cli_runner().invoke(args=["graphql-schema"]).stdout)
    text = TEXTS[document]
    code = [*blocks(text), *(span.replace("\n", " ") for span in SPAN.findall(text))]
    for source in filter(OPERATION.match, code):
        try:
            operation = parse(source)
        except GraphQLError as error:
            pytest.fail(f"{source}: {error}")
        assert validate(schema, operation) == [], source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the sample and the test data, where commands may leave files."""
    for name in ("sample", "tests/data"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", ["README.md", "loading.md"])
def test_the_lines_that_load_files_print_what_is_written(app, folder, document):
    pattern = re.compile(r"^ {4}(?:\$ )?(flask .* load [^F].*)\n((?: {4}(?!\$|flask).*\n)*)", re.M)
    documented = pattern.findall(TEXTS[document])
    assert documented
    for line, output in documented:
        result = app.test_cli_runner().invoke(args=shlex.split(line)[1:])
        assert "loaded 0" not in result.stdout, line
        if output:
            assert result.output == re.sub("^ {4}", "", output, flags=re.MULTILINE), line
        else:
            assert result.exit_code == 0, line


def test_the_lines_of_adsfetch_print_what_is_written(folder):
    (block,) = [block for block in blocks(TEXTS["README.md"]) if "$ adsfetch fetch" in block]
    written = re.split(r"^\$ (adsfetch .*)\n", block, flags=re.MULTILINE)[1:]
    assert written
    for line, output in zip(written[::2], written[1::2], strict=True):
        result = CliRunner().invoke(ads, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
        expected = [row.rstrip() for row in output.splitlines() if not MEASURED.search(row)]
        shown = result.output.replace(str(folder), "/srv/shop").splitlines()
        assert [row for row in expected if row not in shown] == []
