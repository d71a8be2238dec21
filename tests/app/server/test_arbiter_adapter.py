"""How workers are replaced: the old ones serve until the new ones can."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from app.server import arbiter_adapter
from stress.http_client import HttpConnection, get
from stress.service import LiveService, Service, serving
from tests.app.private_names import check
from tests.waiting import PATIENCE, shortest, wait_until

ROOT = Path(__file__).parents[3]
MODULE = """
import time
time.sleep({seconds})
{more}
from tests.app.server.small import {name} as app
"""
IMPORT_SECONDS = 2
RETRANSMISSION_SECONDS = 1.3
"""A client whose first packet meets a worker that stops listening sends it again after a second."""
KINDS = pytest.mark.parametrize("kind", [Service, LiveService], ids=["wsgi", "asgi"])


@pytest.mark.parametrize("name", arbiter_adapter.PRIVATE_NAMES)
def test_gunicorn_has_the_private_name(name):
    check(name, arbiter_adapter, "gunicorn")


class Slow:
    """Two workers, whose application can be made slow to import."""

    def __init__(self, kind, folder):
        self.name = "asgi" if kind is LiveService else "wsgi"
        self.module = folder / "slow.py"
        self.write(seconds=0)
        self.service = kind(
            "slow:app",
            2,
            PYTHONPATH=f"{folder}:{ROOT}",
            PYTHONDONTWRITEBYTECODE="1",
            TMPDIR=str(folder),
        )

    def write(self, seconds=IMPORT_SECONDS, more=""):
        """Change the application that new workers import."""
        self.module.write_text(MODULE.format(seconds=seconds, more=more, name=self.name))

    def __enter__(self):
        self.service.__enter__()
        wait_until(lambda: serving(self.service.pid) == 2)
        return self

    def __exit__(self, *error):
        self.service.__exit__(*error)


@pytest.fixture(scope="module", params=[Service, LiveService], ids=["wsgi", "asgi"])
def shared_slow(request, tmp_path_factory):
    with Slow(request.param, tmp_path_factory.mktemp("slow")) as slow:
        yield slow


@pytest.fixture
def slow(shared_slow):
    wait_until(lambda: serving(shared_slow.service.pid) == 2)
    shared_slow.write()
    return shared_slow


class Polling:
    """Requests one after another, each on a connection of its own."""

    def __init__(self, service):
        self.service, self.stopping, self.waits = service, Event(), []

    @property
    def longest_wait(self):
        return max(self.waits)

    def __enter__(self):
        self.pool = ThreadPoolExecutor(4)
        self.threads = [self.pool.submit(self._run) for _ in range(4)]
        return self

    def _run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            assert self.service.is_ready()
            self.waits.append(time.monotonic() - began)
            time.sleep(0.02)

    def __exit__(self, *error):
        self.stopping.set()
        for thread in self.threads:
            thread.result()
        self.pool.shutdown()


def test_a_reload_lets_no_request_wait_for_an_import(slow):
    service = slow.service

    def reload():
        with Polling(service) as polling:
            old = set(service.workers())
            service.reload()
            wait_until(lambda: len(service.workers()) == 4)
            wait_until(lambda: not old & set(service.workers()))
            assert len(service.workers()) == 2
        return polling.longest_wait

    assert shortest(reload, RETRANSMISSION_SECONDS) < RETRANSMISSION_SECONDS < IMPORT_SECONDS


def test_each_line_of_the_log_is_json_after_a_reload_too(slow):
    service = slow.service
    old = set(service.workers())
    service.reload()
    wait_until(lambda: not old & set(service.workers()))
    before = len(service.log.read_text().splitlines())
    os.kill(service.workers()[0], signal.SIGKILL)
    wait_until(lambda: "SIGKILL" in "".join(service.log.read_text().splitlines()[before:]))
    lines = service.log.read_text().splitlines()[before:]
    assert [line for line in lines if not line.startswith("{")] == []


def test_while_a_killed_worker_is_replaced_the_others_serve(slow):
    service = slow.service

    def replace():
        killed, other = service.workers()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in service.workers())
        with Polling(service) as polling:
            wait_until(lambda: len(service.workers()) == 2)
            wait_until(lambda: serving(service.pid) == 2)
        assert other in service.workers()
        assert f"worker {killed} could not start" not in service.log.read_text()
        return polling.longest_wait

    assert shortest(replace, RETRANSMISSION_SECONDS) < RETRANSMISSION_SECONDS


def test_another_worker_gets_requests_only_when_it_can_serve(slow):
    service = slow.service

    def add():
        with Polling(service) as polling:
            service.signal(signal.SIGTTIN)
            wait_until(lambda: len(service.workers()) == 3)
            wait_until(lambda: serving(service.pid) == 3)
        service.signal(signal.SIGTTOU)
        wait_until(lambda: len(service.workers()) == 2)
        return polling.longest_wait

    assert shortest(add, RETRANSMISSION_SECONDS) < RETRANSMISSION_SECONDS


@pytest.mark.parametrize(
    "more", ["raise RuntimeError('broken')", "raise SystemExit('wrong')", "1 +"]
)
def test_new_code_that_cannot_be_imported_leaves_the_old_workers(more, slow):
    service = slow.service
    old = set(service.workers())
    slow.write(seconds=1, more=more)
    failures = service.log.read_text().count("could not start")
    with Polling(service):
        service.reload()
        wait_until(lambda: set(service.workers()) > old)
        wait_until(lambda: set(service.workers()) == old)
    assert service.log.read_text().count("could not start") > failures
    killed = old.pop()
    os.kill(killed, signal.SIGKILL)  # the master is not blocked: it notices
    wait_until(lambda: killed not in service.workers(), arbiter_adapter.BOOT_SECONDS - 10)
    slow.write(seconds=0)
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
    ignored = shutil.ignore_patterns(".*", "tests", "node_modules", "instance")
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
    with Slow(kind, tmp_path) as slow:
        service = slow.service
        old = service.workers()
        slow.write()
        with Polling(service) as polling:
            service.signal(signal.SIGUSR2)
            wait_until(lambda: len(service.workers()) > len(old))
            (new_master,) = set(service.workers()) - set(old)
            wait_until(lambda: service.log.read_text().count("Bookstall listens on") == 2)
            wait_until(lambda: serving(new_master) == 2)
        assert max(polling.waits) < RETRANSMISSION_SECONDS
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
    with Slow(Service, tmp_path) as slow:  # under asgi the application itself says so
        service = slow.service
        workers = service.workers()
        with closing(HttpConnection(service.port, PATIENCE)) as connection:
            connection.request(get("/healthz"))
            service.kill()
            while connection.header("Connection").lower() != "close":
                connection.request(get("/healthz"))
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        service.start()
        wait_until(lambda: serving(service.master) == 2)
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
