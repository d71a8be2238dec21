"""Run the servers, and let the feed be checked while they fail."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from stack.process import Server
from stack.servers import Postgres, Redis
from stress.broken import application
from stress.consistency.history import History
from stress.data import create_unpooled_engine, migrate
from stress.service import LiveService, Service
from stress.subscriptions.checker import Result
from stress.subscriptions.faults import FeedFaults
from stress.subscriptions.feed import TIMEOUT, Feed
from stress.subscriptions.webhooks import Deliverer
from stress.subscriptions.writers import Loads
from stress.threads import WorkerThreads

DELIVERERS = 2


def check_subscriptions(
    *,
    seed: int,
    seconds: float = 60.0,
    followers: int = 48,
    writers: int = 8,
    workers: int = 2,
    redis: bool = True,
    sqlite: bool = False,
    broken: str | None = None,
    forgetful: bool = False,
    faults: bool = True,
    timeout: float = TIMEOUT,
    database: str | None = None,
    only_asgi: bool = False,
) -> Result:
    """Run, and print and return the result.

    ``timeout`` is for the last event to reach the last follower. ``broken`` breaks the service on
    purpose, and ``forgetful`` the followers, which then do not resume. ``database`` is the URL of
    a migrated one, whose server is not restarted. With ``only_asgi`` there are no other processes:
    no WSGI, no loaders and no webhooks.
    """
    print(f"subscriptions: {seconds:g} s, {workers} workers, seed {seed}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        postgres = None if database or sqlite else stack.enter_context(Postgres())
        url = database or (
            postgres.new_database("stress") if postgres else f"sqlite:///{folder}/db"
        )
        if not database:
            migrate(url)
        server = stack.enter_context(Redis()) if redis else None
        settings = {"DATABASE_URL": url, "WEBHOOK_PRIVATE_TARGETS": "true"}
        if server is not None:
            settings["REDIS_URL"] = server.url
        history = History(engine := create_unpooled_engine(url))
        history.begin()
        live = LiveService(application("asgi", broken), workers, **settings)
        rest = Service(application("wsgi", broken), 1, **settings)
        deliverers = [Deliverer(**settings) for _ in range(DELIVERERS)]
        servers: list[Server] = [live] if only_asgi else [live, rest, *deliverers]
        stack.callback(_run_all, [each.close for each in (live, rest, *deliverers)])
        _run_all([each.start for each in servers])
        ports = [live.port] if only_asgi else [live.port, rest.port]
        injector = FeedFaults(
            seed, live, rest, redis=server, postgres=postgres, deliverers=deliverers
        )
        feed = Feed(
            engine=engine,
            history=history,
            seed=seed,
            ports=ports,
            followers=followers,
            writers=writers,
            loads=None if only_asgi else Loads(folder, settings, seed),
            resumes=not forgetful,
        )
        result = feed.check(injector if faults else None, seconds, timeout)
    print(result, flush=True)
    return result


def _run_all(tasks: Sequence[Callable[[], object]]) -> None:
    with WorkerThreads(*tasks):
        pass
