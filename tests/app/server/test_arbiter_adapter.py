"""How workers are replaced: the old ones serve until the new ones can."""

import operator
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import psutil
import pytest

from app.server import arbiter_adapter
from app.server.shutdown import CLOSE_NOTICE_SECONDS
from stress.http_client import HttpConnection, get
from stress.service import LiveService, Service, serving
from tests.app.private_names import check
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[3]
MODULE = """
import time
from pathlib import Path
while Path({gate!r}).exists():
    time.sleep(0.01)
{more}
from tests.app.server.small import {name} as app
"""
KINDS = pytest.mark.parametrize("kind", [Service, LiveService], ids=["wsgi", "asgi"])


@pytest.mark.parametrize("name", arbiter_adapter.PRIVATE_NAMES)
def test_gunicorn_has_the_private_name(name):
    check(name, arbiter_adapter, "gunicorn")


class Gated:
    """Two workers, whose application can be kept from being imported."""

    def __init__(self, kind, folder):
        self.name = "asgi" if kind is LiveService else "wsgi"
        self.module, self.gate = folder / "gated.py", folder / "closed"
        self.write()
        self.service = kind(
            "gated:app",
            2,
            PYTHONPATH=f"{folder}:{ROOT}",
            PYTHONDONTWRITEBYTECODE="1",
            TMPDIR=str(folder),
        )

    def write(self, more=""):
        """Change the application that new workers import."""
        self.module.write_text(MODULE.format(gate=str(self.gate), more=more, name=self.name))

    @contextmanager
    def closed(self):
        """Let new workers wait in the middle of their import until the block ends."""
        self.gate.touch()
        try:
            yield
        finally:
            self.gate.unlink()

    def has_workers(self, count):
        """Return whether there are so many workers, which all serve."""
        return len(self.service.workers()) == serving(self.service.master) == count

    def __enter__(self):
        self.service.__enter__()
        wait_until(lambda: self.has_workers(2))
        return self

    def __exit__(self, *error):
        self.service.__exit__(*error)


@pytest.fixture(scope="module", params=[Service, LiveService], ids=["wsgi", "asgi"])
def shared(request, tmp_path_factory):
    with Gated(request.param, tmp_path_factory.mktemp("gated")) as gated:
        yield gated


@pytest.fixture
def gated(shared):
    shared.write()
    wait_until(lambda: shared.has_workers(2))
    return shared


class Polling:
    """Requests one after another, each on a connection of its own: all get a response."""

    THREADS = 4

    def __init__(self, service):
        self.service, self.stopping, self.responses = service, Event(), [0] * self.THREADS

    def __enter__(self):
        self.pool = ThreadPoolExecutor(self.THREADS)
        self.threads = [self.pool.submit(self._run, number) for number in range(self.THREADS)]
        return self

    def _run(self, number):
        while not self.stopping.is_set():
            began = time.monotonic()
            is_answered = self.service.is_ready()
            # A worker that stops closes a connection on which nothing came for a second.
            assert is_answered or time.monotonic() - began > CLOSE_NOTICE_SECONDS
            self.responses[number] += is_answered
            time.sleep(0.02)

    def go_on(self):
        """Wait until each thread has got more responses to requests that it sent since now."""
        enough = [count + 10 for count in self.responses]
        wait_until(lambda: all(map(operator.gt, self.responses, enough)))

    def __exit__(self, *error):
        self.stopping.set()
        for thread in self.threads:
            thread.result()
        self.pool.shutdown()


def test_a_reload_lets_no_request_wait_for_an_import(gated):
    service = gated.service
    old = set(service.workers())
    with Polling(service) as polling:
        with gated.closed():
            service.reload()
            wait_until(lambda: len(service.workers()) == 4)
            polling.go_on()
            assert old < set(service.workers())
        wait_until(lambda: not old & set(service.workers()))
    assert len(service.workers()) == 2


def test_each_line_of_the_log_is_json_after_a_reload_too(gated):
    service = gated.service
    old = set(service.workers())
    service.reload()
    wait_until(lambda: not old & set(service.workers()))
    before = len(service.log.read_text().splitlines())
    os.kill(service.workers()[0], signal.SIGKILL)
    wait_until(lambda: "SIGKILL" in "".join(service.log.read_text().splitlines()[before:]))
    lines = service.log.read_text().splitlines()[before:]
    assert [line for line in lines if not line.startswith("{")] == []


def test_while_a_killed_worker_is_replaced_the_others_serve(gated):
    service = gated.service
    killed, other = service.workers()
    with gated.closed():
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in service.workers())
        with Polling(service) as polling:
            wait_until(lambda: len(service.workers()) == 2)
            polling.go_on()
            assert serving(service.master) == 1
    wait_until(lambda: gated.has_workers(2))
    assert other in service.workers()
    assert f"worker {killed} could not start" not in service.log.read_text()


def test_another_worker_gets_requests_only_when_it_can_serve(gated):
    service = gated.service
    with Polling(service) as polling:
        with gated.closed():
            service.signal(signal.SIGTTIN)
            wait_until(lambda: len(service.workers()) == 3)
            polling.go_on()
            assert serving(service.master) == 2
        wait_until(lambda: gated.has_workers(3))
    service.signal(signal.SIGTTOU)
    wait_until(lambda: len(service.workers()) == 2)


@pytest.mark.parametrize(
    "more", ["raise RuntimeError('broken')", "raise SystemExit('wrong')", "1 +"]
)
def test_new_code_that_cannot_be_imported_leaves_the_old_workers(more, gated):
    service = gated.service
    old = set(service.workers())
    gated.write(more)
    failures = service.log.read_text().count("could not start")
    with Polling(service) as polling:
        with gated.closed():
            service.reload()
            wait_until(lambda: set(service.workers()) > old)
            polling.go_on()
        wait_until(lambda: set(service.workers()) == old)
    wait_until(lambda: service.log.read_text().count("could not start") > failures)
    killed = old.pop()
    os.kill(killed, signal.SIGKILL)  # the master is not blocked: it notices
    wait_until(lambda: killed not in service.workers(), arbiter_adapter.BOOT_SECONDS - 10)
    gated.write()
    service.reload()
    wait_until(lambda: not old & set(service.workers()))
    assert service.is_ready()


def test_a_configuration_that_cannot_be_loaded_is_not_reloaded(tmp_path):
    config = tmp_path / "gunicorn.conf.py"
    shutil.copy(ROOT / "gunicorn.conf.py", config)

    class OwnConfig(LiveService):
        def command(self):
            return [str(config) if "gunicorn.conf" in word else word for word in super().command()]

    with OwnConfig("tests.app.server.small:asgi", 1, TMPDIR=str(tmp_path)) as service:
        old = service.workers()
        right = config.read_text()
        for wrong in ("1 +", "raise SystemExit('wrong')", "workers = 'many'"):
            config.write_text(f"{right}\n{wrong}\n")
            count = service.log.read_text().count("not reloaded")
            service.reload()
            wait_until(lambda n=count: service.log.read_text().count("not reloaded") > n)
            assert service.workers() == old
            assert service.is_ready()
        config.write_text(right)
        service.reload()
        wait_until(lambda: not set(old) & set(service.workers()))


@KINDS
def test_a_reload_takes_the_new_code_of_every_module(kind, tmp_path, sqlite_database):
    """The master has imported some of them already, for its own settings."""
    copy = tmp_path / "code"
    # *.pyc.*: what another process compiles now has this name for a moment.
    ignored = shutil.ignore_patterns(".*", "*.pyc.*", "tests", "node_modules", "instance")
    shutil.copytree(ROOT, copy, ignore=ignored)

    class OfCopy(kind):
        def command(self):
            config = str(copy / "gunicorn.conf.py")
            return [config if "gunicorn.conf" in word else word for word in super().command()]

    application = "asgi:app" if kind is LiveService else "wsgi:app"
    with OfCopy(application, 1, DATABASE_URL=sqlite_database, PYTHONPATH=str(copy)) as service:
        old = service.workers()
        config, factory = copy / "app/config.py", copy / "app/factory.py"
        config.write_text(config.read_text() + "\nNEW = 'of the new release'\n")
        new = "from app.config import NEW\nprint(NEW, flush=True)\n"
        factory.write_text(factory.read_text() + new)
        service.reload()
        wait_until(lambda: not set(old) & set(service.workers()))
        assert "of the new release" in service.log.read_text()


@KINDS
def test_an_upgrade_of_the_master_takes_over_the_address(kind, tmp_path):
    with Gated(kind, tmp_path) as gated:
        service = gated.service
        old = service.workers()
        with Polling(service) as polling:
            with gated.closed():
                service.signal(signal.SIGUSR2)
                wait_until(lambda: len(service.workers()) > len(old))
                (new_master,) = set(service.workers()) - set(old)
                wait_until(lambda: service.log.read_text().count("Bookstall listens on") == 2)
                wait_until(lambda: len(psutil.Process(new_master).children()) == 2)
                polling.go_on()
            wait_until(lambda: serving(new_master) == 2)
        assert len(list(tmp_path.glob("bookstall-metrics-*"))) == 2
        service.terminate()
        assert service.wait() == 0
        assert service.is_ready()
        assert len(list(tmp_path.glob("bookstall-metrics-*"))) == 1
        os.kill(new_master, signal.SIGTERM)
        wait_until(lambda: not service.is_ready())
        wait_until(lambda: not list(tmp_path.glob("bookstall-metrics-*")))


def test_workers_whose_master_was_killed_end_without_losing_a_request(tmp_path):
    """A client that is always busy learns from a response that its connection ends."""
    with Gated(Service, tmp_path) as gated:  # under asgi the application itself says so
        service = gated.service
        workers = service.workers()
        with closing(HttpConnection(service.port, PATIENCE)) as connection:
            connection.request(get("/healthz"))
            service.signal(signal.SIGKILL)
            while connection.header("Connection").lower() != "close":
                connection.request(get("/healthz"))
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        service.kill()
        service.start()
        wait_until(lambda: gated.has_workers(2))
        assert service.is_ready()


@KINDS
def test_a_first_start_whose_application_exits_does_not_repeat_for_ever(kind, tmp_path):
    # All workers end at the same time: at the next full second.
    wait = "import time\ntime.sleep(1 - time.time() % 1)\n"
    (tmp_path / "wrong.py").write_text(f"{wait}raise SystemExit('bookstall: SETTING is wrong')")
    service = kind("wrong:app", 12, PYTHONPATH=f"{tmp_path}:{ROOT}", TMPDIR=str(tmp_path))
    try:
        with pytest.raises(Exception, match="bookstall: SETTING is wrong"):
            service.start()
        assert service.wait() != 0
        assert "Traceback" not in service.log.read_text()
        assert not list(tmp_path.glob("bookstall-metrics-*"))
    finally:
        service.close()
