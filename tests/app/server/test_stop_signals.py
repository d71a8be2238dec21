"""The signals that stop a worker with threads."""

import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
from gunicorn.config import Config

from app.server.shutdown import exit_at_sigquit
from app.server.wsgi_worker import BufferingWorker
from tests.waiting import PATIENCE


@pytest.fixture
def worker():
    worker = BufferingWorker(1, 1, [], None, 30, Config(), None)
    worker.method_queue.init()
    yield worker
    worker.method_queue.close()
    worker.tmp.close()


@pytest.fixture
def handler(worker):
    """The handler of a signal, by its number."""
    numbers = (signal.SIGQUIT, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    exit_at_sigquit(worker)
    found = {number: signal.getsignal(number) for number in numbers}
    for number, own in before.items():
        signal.signal(number, own)
    return found


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_a_worker_exits_in_its_loop_whatever_lock_the_interrupted_code_has(worker, handler, number):
    with ThreadPoolExecutor(1) as worker.tpool, worker.tpool._shutdown_lock:
        thread = Thread(target=handler[number], args=(number, None), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    with pytest.raises(SystemExit) as exited:
        worker.method_queue.run_callbacks(None)
    assert exited.value.code == 0
