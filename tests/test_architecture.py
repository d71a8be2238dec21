"""The rules by which the house is kept, as tests: see CONTRIBUTING.md."""

import ast
import re
from pathlib import Path

import click
import pytest

from app.config import Settings
from app.factory import create_app
from app.http.route_options import options_of

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "bookreview", "inventory", "adsfetch")
BLUEPRINTS = {"bookreview", "inventory"}
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
OPERATIONAL = {
    "/docs",
    "/docs/<path:name>",
    "/graphiql/<path:name>",
    "/graphql",
    "/healthz",
    "/live",
    "/metrics",
    "/openapi.json",
    "/pages/<path:name>",
    "/readyz",
    "/static/<path:filename>",
}
"""The routes that are not REST: they have no contract, and stand in no document."""


def each_module(*packages):
    """Give a test every module of ``packages``, or of all."""
    chosen = [path for path in MODULES if package_of(path) in (packages or PACKAGES)]
    return pytest.mark.parametrize(
        "module", chosen, ids=[str(path.relative_to(ROOT)) for path in chosen]
    )


def package_of(module):
    return module.relative_to(ROOT).parts[0]


@pytest.fixture(scope="module")
def app():
    return create_app(
        Settings(database_url="sqlite://", secret_key="any secret at all", testing=True)
    )


def imported(module):
    """Return the top names, and the whole names, of all that a module imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def commands(group, path=()):
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_there_are_modules_to_judge():
    assert set(PACKAGES) <= {package_of(module) for module in MODULES}


@each_module("adsfetch")
def test_adsfetch_knows_neither_flask_nor_app(module):
    roots = {name.partition(".")[0].lower() for name in imported(module)}
    assert not any(root.startswith("flask") for root in roots)
    assert not roots & {"app", *BLUEPRINTS}


@each_module(*BLUEPRINTS)
def test_blueprints_do_not_know_each_other(module):
    roots = {name.partition(".")[0] for name in imported(module)}
    assert not roots & (BLUEPRINTS | {"adsfetch"}) - {package_of(module)}


@each_module("app")
def test_only_the_factory_imports_blueprints_and_adsfetch(module):
    roots = {name.partition(".")[0] for name in imported(module)}
    assert bool(roots & (BLUEPRINTS | {"adsfetch"})) == (module.name == "factory.py")


@each_module()
def test_nobody_in_the_packages_imports_the_factory(module):
    assert "app.factory" not in imported(module)


@each_module("app", *BLUEPRINTS)  # adsfetch has reason: google-ads is optional, and slow to import
def test_every_import_stands_at_the_top_of_its_file(module):
    tree = ast.parse(module.read_text())
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    below = [
        n for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    assert below == []


@each_module()
def test_a_module_says_what_it_is_and_can_be_read_in_a_sitting(module):
    text = module.read_text()
    assert len(text.splitlines()) <= 250
    if text:
        assert ast.get_docstring(ast.parse(text))


@each_module()
def test_no_module_is_named_like_a_drawer(module):
    assert not {"utils", "helpers", "common", "manager"} & {module.stem, *module.parent.parts}


def test_the_init_of_app_imports_nothing():
    assert imported(ROOT / "app/__init__.py") == set()


def test_no_folder_of_tests_is_a_package():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_route_has_a_contract_or_is_named_as_operational(app):
    bare = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if options_of(app.view_functions[rule.endpoint]).response is None
    }
    assert bare == OPERATIONAL


def test_every_view_has_words_for_the_public(app):
    for endpoint, view in app.view_functions.items():
        if endpoint != "static":
            assert view.__doc__, endpoint


def test_every_command_of_ours_has_help(app):
    theirs = {"db", "routes", "run", "shell"}
    ours = {name: c for name, c in commands(app.cli) if name.split()[0] not in theirs}
    assert {"books", "reviews", "openapi", "prepare"} <= ours.keys()
    for name, command in ours.items():
        assert command.help, name


def test_every_setting_stands_in_the_readme():
    settings = re.findall(r'read\("([A-Z_]+)"', (ROOT / "app/config.py").read_text())
    assert len(settings) >= 9
    readme = (ROOT / "README.md").read_text()
    if not readme:
        pytest.skip("the README is not written yet")
    assert [name for name in settings if name not in readme] == []
