"""The addresses of the service: checked before the start, announced after it."""

import errno
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.run_folder import PATIENCE_SECONDS
from app.server.arbiter_adapter import family_of

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound to


def check_addresses(addresses: Sequence[Any], *, reuse_port: bool) -> None:
    """Exit with one line unless each address is free; reserve it for workers that share a port.

    With SO_REUSEPORT the kernel lets two services share a port: requests would go to either.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    for address in addresses:
        while problem := _problem(address):
            if time.monotonic() > until:
                raise SystemExit(f"bookstall: cannot listen on {name_of(address)}: {problem}")
            time.sleep(0.1)
    for address in addresses if reuse_port else ():
        with suppress(OSError):
            # Without SO_REUSEADDR: another check fails here, before a worker listens.
            _bind(address, socket.SO_REUSEPORT).detach()  # open until this process ends


def is_port(address: Any) -> bool:
    """Return whether each worker can open ``address`` for itself: a path or port 0 it cannot."""
    return isinstance(address, tuple) and address[1] != 0


def name_of(address: Any) -> str:
    """Return ``address`` as in an error message."""
    if isinstance(address, tuple):
        return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
    return f"unix:{address}"


def announcement(addresses: Iterable[Any], scheme: str) -> str:
    """Return the line that says where the service is found."""
    places, urls = [], []
    for address in addresses:
        if isinstance(address, tuple):
            host, port = WILDCARDS.get(address[0], address[0]), address[1]
            urls.append(f"{scheme}://{name_of((host, port))}")
            everywhere = address[0] in WILDCARDS
            places.append(
                urls[-1] + (" and all other addresses of this host" if everywhere else "")
            )
        else:
            places.append(name_of(address))
    documentation = f", its documentation is at {urls[0]}/docs" if urls else ""
    return f"Bookstall listens on {', '.join(places)}{documentation}"


def _problem(address: Any) -> str:
    """Return why gunicorn could not listen on ``address``, or an empty text."""
    try:
        if isinstance(address, str):
            _try_path(address)
        elif isinstance(address, tuple):  # else an open file descriptor
            _bind(address, socket.SO_REUSEADDR).close()
    except (OSError, OverflowError, ValueError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            return "it is in use; stop the other server, or choose another address (PORT, --bind)"
        return getattr(error, "strerror", None) or str(error)
    return ""


def _bind(address: tuple[Any, ...], option: int) -> socket.socket:
    bound = socket.socket(family_of(address))
    try:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


def _try_path(path: str) -> None:
    if path.startswith("\0"):  # a name without a file: gunicorn finds whether it is in use
        return
    file = Path(path)
    if not file.exists():
        file.touch()  # raises what gunicorn's bind would
        file.unlink()
    elif not file.is_socket():
        raise ValueError("it is a file that is no socket")
    else:
        with socket.socket(socket.AF_UNIX) as trial, suppress(ConnectionRefusedError):
            trial.connect(path)
            raise OSError(errno.EADDRINUSE, "")
