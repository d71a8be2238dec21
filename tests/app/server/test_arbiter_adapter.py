"""How workers are replaced: the old ones serve until the new ones can."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from app.server import arbiter_adapter
from stress.service import LiveService, Service
from tests.app.private_names import check

ROOT = Path(__file__).parents[3]
SLOW = """
import os, time
ready = os.environ["READY"]
if os.path.exists(ready):  # not at the first start
    time.sleep(3)
    {more}
from {module} import app
"""
IMPORT_SECONDS = 3
RETRANSMISSION_SECONDS = 1.3
"""A client whose first packet meets a worker that stops listening sends it again after a second."""


@pytest.mark.parametrize("name", arbiter_adapter.PRIVATE_NAMES)
def test_gunicorn_has_the_private_name(name):
    check(name, arbiter_adapter, "gunicorn")


class Slow:
    """A service whose application needs seconds to be imported, after the first start."""

    def __init__(self, kind, tmp_path, database, more="pass"):
        module = "asgi" if kind is LiveService else "wsgi"
        self.ready = tmp_path / "ready"
        (tmp_path / "slow.py").write_text(SLOW.format(module=module, more=more))
        self.service = kind(
            "slow:app",
            2,
            DATABASE_URL=database,
            READY=str(self.ready),
            PYTHONPATH=f"{tmp_path}:{ROOT}",
            TMPDIR=str(tmp_path),
        )

    def __enter__(self):
        self.service.__enter__()
        # Both workers serve before anything is replaced.
        wait_until(lambda: len(self.service.workers()) == 2)
        time.sleep(1)
        self.ready.touch()
        return self.service

    def __exit__(self, *error):
        self.service.__exit__(*error)


def wait_until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Polling:
    """Requests one after another, each on a connection of its own; the longest wait."""

    def __init__(self, service):
        self.service, self.stopping, self.waits = service, Event(), []

    def __enter__(self):
        self.pool = ThreadPoolExecutor(4)
        self.threads = [self.pool.submit(self._run) for _ in range(4)]
        return self

    def _run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            assert self.service.is_ready()
            self.waits.append(time.monotonic() - began)
            time.sleep(0.005)

    def __exit__(self, *error):
        self.stopping.set()
        for thread in self.threads:
            thread.result()
        self.pool.shutdown()


@pytest.mark.parametrize("kind", [Service, LiveService])
def test_a_reload_lets_no_request_wait_for_an_import(kind, tmp_path, sqlite_database):
    with Slow(kind, tmp_path, sqlite_database) as service, Polling(service) as polling:
        old = set(service.workers())
        service.reload()
        wait_until(lambda: len(service.workers()) == 4)
        wait_until(lambda: not old & set(service.workers()))
        assert len(service.workers()) == 2
    assert len(polling.waits) > 100
    assert max(polling.waits) < RETRANSMISSION_SECONDS < IMPORT_SECONDS


@pytest.mark.parametrize("kind", [Service, LiveService])
def test_while_a_killed_worker_is_replaced_the_others_serve(kind, tmp_path, sqlite_database):
    with Slow(kind, tmp_path, sqlite_database) as service:
        killed, other = service.workers()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in service.workers())
        with Polling(service) as polling:
            wait_until(lambda: len(service.workers()) == 2)
            time.sleep(IMPORT_SECONDS + 1)
        assert other in service.workers()
    assert max(polling.waits) < RETRANSMISSION_SECONDS


@pytest.mark.parametrize("kind", [Service, LiveService])
def test_another_worker_gets_requests_only_when_it_can_serve(kind, tmp_path, sqlite_database):
    with Slow(kind, tmp_path, sqlite_database) as service, Polling(service) as polling:
        service._master().send_signal(signal.SIGTTIN)
        wait_until(lambda: len(service.workers()) == 3)
        time.sleep(IMPORT_SECONDS + 1)
    assert max(polling.waits) < RETRANSMISSION_SECONDS


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Service, "raise RuntimeError('broken')"),
        (LiveService, "raise SystemExit('wrong')"),
        (LiveService, "1 +"),
    ],
)
def test_new_code_that_cannot_be_imported_leaves_the_old_workers(
    kind, more, tmp_path, sqlite_database
):
    with Slow(kind, tmp_path, sqlite_database, more="pass") as service:
        old = set(service.workers())
        module = tmp_path / "slow.py"
        module.write_text(module.read_text().replace("pass", more).replace("sleep(3)", "sleep(1)"))
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        with Polling(service):
            service.reload()
            wait_until(lambda: set(service.workers()) > old)
            wait_until(lambda: set(service.workers()) == old)
        assert "could not start" in service.log.read_text()
        killed = old.pop()
        os.kill(killed, signal.SIGKILL)  # the master is not blocked: it notices
        wait_until(lambda: killed not in service.workers(), seconds=15)
        module.write_text("from asgi import app" if kind is LiveService else "from wsgi import app")
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        service.reload()
        wait_until(lambda: not old & set(service.workers()))
        assert service.is_ready()


def test_a_configuration_that_cannot_be_loaded_is_not_reloaded(tmp_path, sqlite_database):
    config = tmp_path / "gunicorn.conf.py"
    shutil.copy(ROOT / "gunicorn.conf.py", config)

    class OwnConfig(LiveService):
        def command(self):
            return [str(config) if "gunicorn.conf" in word else word for word in super().command()]

    with OwnConfig("asgi:app", 1, DATABASE_URL=sqlite_database, TMPDIR=str(tmp_path)) as service:
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


@pytest.mark.parametrize("kind", [Service, LiveService])
def test_a_reload_takes_the_new_code_of_every_module(kind, tmp_path, sqlite_database):
    """The master has imported some of them already, for its own settings."""
    copy = tmp_path / "code"
    ignored = shutil.ignore_patterns(".*", "tests", "node_modules", "instance", "__pycache__")
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
        for cached in copy.rglob("__pycache__"):
            shutil.rmtree(cached)
        service.reload()
        wait_until(lambda: not set(old) & set(service.workers()))
        assert "of the new release" in service.log.read_text()


@pytest.mark.parametrize("kind", [Service, LiveService])
def test_an_upgrade_of_the_master_takes_over_the_address(kind, sqlite_database, tmp_path):
    application = "asgi:app" if kind is LiveService else "wsgi:app"
    with kind(application, 1, DATABASE_URL=sqlite_database, TMPDIR=str(tmp_path)) as service:
        old = service.workers()
        with Polling(service) as polling:
            service._master().send_signal(signal.SIGUSR2)
            wait_until(lambda: len(service.workers()) > len(old))
            (new_master,) = set(service.workers()) - set(old)
            children = Path(f"/proc/{new_master}/task/{new_master}/children")
            wait_until(children.read_text)
            wait_until(lambda: service.log.read_text().count("Bookstall listens on") == 2)
            time.sleep(3)  # its worker imports the application
        assert max(polling.waits) < RETRANSMISSION_SECONDS
        assert len(list(tmp_path.glob("bookstall-metrics-*"))) == 2
        service.terminate()
        assert service.wait() == 0
        assert service.is_ready()
        assert len(list(tmp_path.glob("bookstall-metrics-*"))) == 1
        os.kill(new_master, signal.SIGTERM)
        wait_until(lambda: not service.is_ready())
        wait_until(lambda: not list(tmp_path.glob("bookstall-metrics-*")))


@pytest.mark.parametrize("kind", [Service, LiveService])
def test_a_first_start_whose_application_exits_does_not_repeat_for_ever(kind, tmp_path):
    (tmp_path / "wrong.py").write_text("raise SystemExit('bookstall: SETTING is wrong')")
    service = kind("wrong:app", 2, PYTHONPATH=f"{tmp_path}:{ROOT}", TMPDIR=str(tmp_path))
    try:
        with pytest.raises(Exception, match="bookstall: SETTING is wrong"):
            service.start()
        assert service.wait() != 0
        assert not list(tmp_path.glob("bookstall-metrics-*"))
    finally:
        service.close()
