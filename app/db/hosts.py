"""Several hosts in DATABASE_URL: connect to the one that is the primary.

libpq goes through the hosts itself, but not past one that does not respond: its time limit for a
host does not work while psycopg2 waits by a callback (timeouts.py). So each host is tried here.
"""

import time
from typing import Any

from psycopg2 import InterfaceError, OperationalError
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.timeouts import CONNECT_TIMEOUT, waiting_until

READ_ONLY = "25006"
READ_ONLY_PARAMETERS = ("in_hot_standby", "default_transaction_read_only")
"""What PostgreSQL 14 and later report with each response if it has changed."""
MIN_SECONDS = 1.0
_first: dict[tuple[str, ...], int] = {}
"""For each list of hosts, and the role that is wanted, the one to try first: none that failed."""


def refuse_read_only_hosts(engine: Engine) -> None:
    """Let an engine of several hosts replace connections to one that has become read-only."""
    if "," in str(engine.dialect.create_connect_args(engine.url)[1].get("host")):
        event.listen(engine, "checkout", _refuse_read_only)


@event.listens_for(Engine, "do_connect")
def _connect(dialect: Dialect, _: Any, arguments: Any, options: dict[str, Any]) -> Any:
    """Return a connection to one of several hosts; None lets SQLAlchemy connect to a single one."""
    wanted = tuple(str(options.get(name, "")) for name in ("host", "port", "target_session_attrs"))
    hosts = wanted[0].split(",")
    if dialect.driver != "psycopg2" or len(hosts) == 1:
        return None
    ports = _ports(wanted[1], len(hosts))
    seconds = max(MIN_SECONDS, CONNECT_TIMEOUT / len(hosts))
    first, failures = _first.get(wanted, 0), []
    for number in (*range(first, len(hosts)), *range(first)):
        address = {"host": hosts[number], "port": ports[number]}
        try:
            with waiting_until(time.monotonic() + seconds):
                connection = dialect.connect(*arguments, **{**options, **address})
        except OperationalError as error:
            reason = (str(error).splitlines() or [""])[0]
            failures.append(f"{address['host']}:{address['port']}: {reason}")
            _first[wanted] = (number + 1) % len(hosts)
        else:
            return connection
    raise OperationalError("; ".join(failures))


def _ports(text: str, hosts: int) -> list[str]:
    """Return the port of each host: libpq takes one for all, or a list in which some are empty."""
    ports = text.split(",")
    return [port or "5432" for port in (ports if len(ports) == hosts else ports[:1] * hosts)]


@event.listens_for(Engine, "handle_error")
def _give_up_read_only(context: ExceptionContext) -> None:
    # It was the primary when it was connected to. A new connection finds the one of now.
    if getattr(context.original_exception, "pgcode", None) == READ_ONLY:
        context.is_disconnect = True


def _refuse_read_only(connection: Any, _: ConnectionPoolEntry, __: Any) -> None:
    try:
        states = [connection.get_parameter_status(name) for name in READ_ONLY_PARAMETERS]
    except InterfaceError as error:  # it was closed
        raise DisconnectionError from error
    if "on" in states:
        raise DisconnectionError
