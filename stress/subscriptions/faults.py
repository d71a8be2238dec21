"""Faults of all servers behind the feed, and of the processes that deliver webhooks."""

import random
import signal
import time
from collections.abc import Sequence

from stack.servers import Postgres, Redis
from stress import faults
from stress.faults import ALL_WORKERS, FaultInjector, Faults, Schedule
from stress.service import LiveService, Service
from stress.subscriptions.webhooks import Deliverer
from stress.threads import wait_until

PAUSE, LONG_PAUSE = (0.5, 2.5), (5.0, 15.0)


class FeedFaults(FaultInjector):
    """Inject one fault of each kind of server at a time."""

    def __init__(
        self,
        seed: int,
        live: LiveService,
        rest: Service,
        *,
        redis: Redis | None = None,
        postgres: Postgres | None = None,
        deliverers: Sequence[Deliverer] = (),
    ) -> None:
        schedules = {
            "redis": Schedule(_redis_faults(redis) if redis else {}, PAUSE),
            "workers": Schedule(_worker_faults(live, rest), PAUSE),
            "postgres": Schedule(_postgres_faults(postgres) if postgres else {}, LONG_PAUSE),
            "deliverers": Schedule(_deliverer_faults(deliverers) if deliverers else {}, PAUSE),
        }
        super().__init__(seed, schedules)


def _redis_faults(redis: Redis) -> Faults:
    return {
        "Redis killed": lambda _: faults.restart_empty(redis, 0.3),
        "Redis restarted with old data": lambda _: faults.restart_with_old_data(redis, 1.0, 0.3),
        "Redis frozen": lambda _: faults.freeze(redis, 2.0),
        "Redis full": lambda _: faults.fill_memory(redis, 1.0),
    }


def _worker_faults(live: LiveService, rest: Service) -> Faults:
    return {
        "asgi worker killed": lambda rng: _end_workers(live, rng, 1),
        "all asgi workers killed": lambda rng: _end_workers(live, rng, ALL_WORKERS),
        "asgi worker stopped (TERM)": lambda rng: _end_workers(live, rng, 1, signal.SIGTERM),
        "asgi workers replaced (HUP)": lambda _: live.reload(),
        "WSGI worker killed": lambda rng: _end_workers(rest, rng, 1),
    }


def _end_workers(
    service: Service, rng: random.Random, count: int, signal_number: int = signal.SIGKILL
) -> None:
    faults.signal_workers(service, rng, count, signal_number)
    # The next fault needs a running service: on a busy machine a worker starts slowly.
    if not wait_until(service.is_ready, service.timeout, interval=0.05):
        raise RuntimeError(f"no worker started: {service.log.read_text()[-2000:]}")


def _postgres_faults(postgres: Postgres) -> Faults:
    def restart(rng: random.Random) -> None:
        postgres.kill()
        time.sleep(rng.uniform(0, 2))
        postgres.start()

    return {"PostgreSQL restarted": restart}


def _deliverer_faults(deliverers: Sequence[Deliverer]) -> Faults:
    def restart(rng: random.Random) -> None:
        deliverer = rng.choice(deliverers)
        deliverer.kill()
        time.sleep(rng.uniform(0, 3))
        deliverer.start()

    return {"deliverer killed": restart}
