"""The rules of the code base, as tests: see CONTRIBUTING.md and decision 21."""

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest

from app.config import Settings
from app.factory import create_app
from app.http.route_options import options_of

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "bookreview", "inventory", "adsfetch")
TOOLS = ("stack", "stress", "bench", "clients", "film")
BLUEPRINTS = {"bookreview", "inventory"}
LAYERS = """
app.errors app.json app.text app.config app.parsers app.extensions app.single_flight app.logging
app.run_folder app.encryption
app.redis
app.db
app.http app.events app.ratelimit
app.auth app.cache
app.metrics
app.services
app.unit_of_work
app.api
app.middleware app.graphql app.loading app.health app.figures app.commands
app.export app.changes
app.server
app.live
app.webhooks
app.factory
"""
"""The parts of app, lowest first: a part imports only from lower lines, and from itself."""
ADSFETCH_LAYERS = """
adsfetch.errors adsfetch.retry_after adsfetch.dates
adsfetch.sources
adsfetch.fetch adsfetch.storage
adsfetch.budget adsfetch.export
adsfetch.google adsfetch.function_source adsfetch.plan adsfetch.summary adsfetch.comparison
adsfetch.remembered_source
adsfetch.cluster
adsfetch.totals adsfetch.dataset_run
adsfetch.run
adsfetch.cli
adsfetch.__main__
"""
INTERNALS = {
    "a2wsgi.wsgi": "app.live.wsgi_bridge",
    "google.api_core.gapic_v1": "adsfetch.google.gapic_adapter",
    "gunicorn.asgi": "app.server",
    "gunicorn.workers": "app.server",
    "redis.connection": "app.redis.client",
    "strawberry.subscriptions.protocols": "app.graphql.strawberry_adapter",
}
"""Library modules that only one adapter may import (or the modules of one package); ruff's SLF001
holds for private names."""
OPERATIONAL = {
    "/",
    "/docs",
    "/docs/<path:name>",
    "/favicon.ico",
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
"""The routes that are not REST: they have no contract and are not in the OpenAPI document."""
COMES_WITH = {
    "_typeshed": "mypy",
    "google": "google-ads",
    "asgi": "",
    "wsgi": "",
    "adsserver": "",
    "dask_cluster": "",
    "bookstall_client": "openapi-python-client",
}
"""Packages by what brings them, where metadata do not say it; ours bring themselves."""


def name_of(path):
    """Return the dotted name of a module, or of a package for its __init__."""
    *folders, stem = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(folders if stem == "__init__" else [*folders, stem])


MODULES = {
    name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
}


def each_module(*packages):
    """Run a test for every module of ``packages``, or of all."""
    chosen = [name for name in MODULES if name.partition(".")[0] in (packages or PACKAGES)]
    return pytest.mark.parametrize("module", chosen)


@pytest.fixture(scope="module")
def app():
    return create_app(
        Settings(database_url="sqlite://", secret_key="any secret at all", testing=True)
    )


def imported(path):
    """Return the names of the modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= full & MODULES.keys() or {node.module}
    return found


def roots(path):
    return {name.partition(".")[0] for name in imported(path)}


def part_of(module):
    """Name the part of a package that a module belongs to: a folder, or a file at its top."""
    return ".".join(module.split(".")[:2])


def levels(layers):
    lines = enumerate(layers.split("\n"))
    return {part: level for level, line in lines for part in line.split()}


def commands(group, path=()):
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("layers", [LAYERS, ADSFETCH_LAYERS], ids=["app", "adsfetch"])
def test_every_part_has_a_layer(layers):
    package = layers.split(".")[0].strip()
    parts = {part_of(name) for name in MODULES if name.startswith(f"{package}.")}
    assert parts - levels(layers).keys() - {"adsfetch.example"} == set()


@each_module("app", "adsfetch")
def test_a_part_imports_only_from_lower_layers(module):
    level = levels(LAYERS) | levels(ADSFETCH_LAYERS)
    mine = part_of(module)
    for name in imported(MODULES[module]):
        other = part_of(name)
        if other != mine and other in level and mine in level:
            lower = level[other] < level[mine]
            lowest = level[other] == level[mine] == min(level.values())
            assert lower or lowest, f"{module} imports {name}"


def test_no_imports_form_a_cycle():
    graph = {name: imported(path) & MODULES.keys() for name, path in MODULES.items()}
    while leaves := {name for name, targets in graph.items() if not targets - {name}}:
        graph = {name: graph[name] - leaves for name in graph.keys() - leaves}
    assert graph == {}


@each_module("adsfetch")
def test_adsfetch_is_independent_of_flask_and_app(module):
    found = roots(MODULES[module])
    assert not any(root.lower().startswith("flask") for root in found)
    assert not found & {"app", *BLUEPRINTS}


@each_module(*BLUEPRINTS)
def test_blueprints_are_independent_of_each_other(module):
    assert not roots(MODULES[module]) & (BLUEPRINTS | {"adsfetch"}) - {module.partition(".")[0]}


@each_module("app")
def test_only_the_factory_imports_blueprints_and_adsfetch(module):
    found = roots(MODULES[module]) & (BLUEPRINTS | {"adsfetch"})
    assert bool(found) == (module == "app.factory")


def test_flask_commands_do_not_import_the_live_part():
    """It would add a fifth of a second to each; asgi.py imports it.

    What webhooks need of it imports nothing slow.
    """
    reached, ahead = set(), ["app.factory"]
    while ahead:
        name = ahead.pop()
        reached.add(name)
        ahead += (imported(MODULES[name]) & MODULES.keys()) - reached
    slow = {name for name in reached if name.startswith(("app.live", "app.server"))}
    assert slow <= {"app.live", "app.live.event_reader", "app.live.feed", "app.live.hub"}


@each_module()
def test_internals_of_libraries_are_imported_in_their_adapter_only(module):
    for name in imported(MODULES[module]):
        for internal, adapter in INTERNALS.items():
            allowed = f"{module}.".startswith(f"{adapter}.")
            assert allowed or not f"{name}.".startswith(f"{internal}."), name


@each_module()
def test_no_package_imports_the_factory_or_the_tools(module):
    found = imported(MODULES[module])
    assert "app.factory" not in found
    assert not {name.partition(".")[0] for name in found} & {*TOOLS, "tests"}


def test_the_checkers_do_not_import_the_benchmarks():
    for path in (ROOT / "stress").rglob("*.py"):
        assert "bench" not in roots(path), path


@each_module("app", *BLUEPRINTS)  # adsfetch is free to: google-ads is optional and slow to import
def test_every_import_is_at_the_top_of_its_file(module):
    tree = ast.parse(MODULES[module].read_text())
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    below = [
        n for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    assert below == []


@each_module()
def test_a_module_has_a_docstring_and_at_most_250_lines(module):
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= 250
    assert ast.get_docstring(ast.parse(text))


@each_module()
def test_no_module_has_a_name_without_a_subject(module):
    assert not {"utils", "helpers", "common", "manager"} & set(module.split("."))


def test_the_init_of_app_imports_nothing():
    assert imported(ROOT / "app/__init__.py") == set()


def test_no_folder_of_tests_is_a_package():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_tests_mirror_the_folders_of_app():
    folders = {path.name for path in (ROOT / "tests/app").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} <= {part_of(name)[4:] for name in MODULES}


def test_every_imported_package_is_declared():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    everything = setup["options"]["install_requires"] + extras["ads"] + extras["dev"]
    declared = set(re.findall(r"^([a-z0-9-]+)", everything, re.MULTILINE))
    ours = {*PACKAGES, *TOOLS, "tests"}
    brought = packages_distributions()
    for folder in ours | {"migrations"}:
        for path in (ROOT / folder).rglob("*.py"):
            for root in roots(path) - ours - sys.stdlib_module_names - COMES_WITH.keys():
                names = {name.lower().replace("_", "-") for name in brought[root]}
                assert names & declared, f"{path} imports {root}, which setup.cfg does not name"


def test_every_route_has_a_contract_or_is_operational(app):
    bare = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if options_of(app.view_functions[rule.endpoint]).response is None
    }
    assert bare == OPERATIONAL


def test_every_view_has_a_public_description(app):
    for endpoint, view in app.view_functions.items():
        if endpoint != "static":
            assert view.__doc__, endpoint


def test_every_command_of_ours_has_help(app):
    theirs = {"db", "routes", "run", "shell"}
    ours = {name: c for name, c in commands(app.cli) if name.split()[0] not in theirs}
    assert {"books", "reviews", "openapi", "prepare"} <= ours.keys()
    for name, command in ours.items():
        assert command.help, name


def test_every_setting_is_in_the_readme():
    settings = re.findall(r'read\("([A-Z_]+)"', (ROOT / "app/config.py").read_text())
    assert len(settings) >= 9
    readme = (ROOT / "README.md").read_text()
    assert [name for name in settings if name not in readme] == []
