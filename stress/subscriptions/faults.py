"""Faults of Redis and of the workers."""

import random
import signal
from collections.abc import Sequence

from stack.servers import Redis
from stress import faults
from stress.faults import ALL_WORKERS, FaultInjector, Faults, Schedule
from stress.service import Service
from stress.threads import wait_until

RESTART_SECONDS = 30.0


class SubscriptionFaults(FaultInjector):
    """Inject one fault of Redis and one of the workers at a time."""

    def __init__(
        self,
        redis: Redis | None,
        services: Sequence[Service],
        seed: int,
        pause: tuple[float, float] = (0.5, 2.5),
    ) -> None:
        redis_faults = Schedule(_redis_faults(redis) if redis else {}, pause)
        worker_faults = Schedule(_worker_faults(*services), pause)
        super().__init__(seed, {"redis": redis_faults, "workers": worker_faults})


def _redis_faults(redis: Redis) -> Faults:
    return {
        "Redis killed": lambda _: faults.restart_empty(redis, 0.3),
        "Redis restarted with old data": lambda _: faults.restart_with_old_data(redis, 1.0, 0.3),
        "Redis frozen": lambda _: faults.freeze(redis, 2.0),
        "Redis full": lambda _: faults.fill_memory(redis, 1.0),
    }


def _worker_faults(live: Service, rest: Service) -> Faults:
    return {
        "asgi worker killed": lambda rng: _end_workers(live, rng, 1),
        "all asgi workers killed": lambda rng: _end_workers(live, rng, ALL_WORKERS),
        "asgi worker stopped (TERM)": lambda rng: _end_workers(live, rng, 1, signal.SIGTERM),
        "WSGI worker killed": lambda rng: _end_workers(rest, rng, 1),
    }


def _end_workers(
    service: Service, rng: random.Random, count: int, signal_number: int = signal.SIGKILL
) -> None:
    faults.signal_workers(service, rng, count, signal_number)
    # The next fault needs a running service: on a busy machine a worker starts slowly.
    if not wait_until(service.is_ready, RESTART_SECONDS, interval=0.05):
        raise RuntimeError(f"no worker started: {service.log.read_text()[-2000:]}")
