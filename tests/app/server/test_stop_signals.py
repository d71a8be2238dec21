"""The signals that stop a worker with threads."""

import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
from gunicorn.config import Config

from app.server.shutdown import exit_at_sigquit
from app.server.wsgi_worker import BufferingWorker
from tests.waiting import PATIENCE


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_a_worker_exits_even_if_a_signal_interrupts_what_has_the_lock_of_its_threads(number):
    worker = BufferingWorker(1, 1, [], None, 30, Config(), None)
    before = {each: signal.getsignal(each) for each in (signal.SIGQUIT, signal.SIGINT)}
    exit_at_sigquit(worker)
    handler = signal.getsignal(number)
    for each, own in before.items():
        signal.signal(each, own)
    ended = []

    def handle():
        with pytest.raises(SystemExit) as exited:
            handler(number, None)
        ended.append(exited.value.code)

    with ThreadPoolExecutor(1) as worker.tpool, worker.tpool._shutdown_lock:
        thread = Thread(target=handle, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert ended == [0]
    worker.tmp.close()
