"""The source that calls a function of the user, given as ``module:function``."""

import importlib
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from adsfetch.errors import StuckError, UsageError, describe
from adsfetch.fetch.isolation import IsAbandoned, call_isolated
from adsfetch.sources import FetchData, Row, Source

SPEC = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
IMPORT_SECONDS = 10.0  # or the timeout of a call, if that is longer
LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
IMPORTING = (str(Path(__file__).parent), importlib.__file__, "<frozen")


class FunctionSource(Source):
    """A user's function, given as ``module:function``; imported on first use.

    ``folder``, by default the current one, stays on the path of imports until the end of the
    run, because the function may import modules of its own when it is called.
    """

    def __init__(self, spec: str, timeout: float, folder: str = "") -> None:
        module, _, path = spec.partition(":")
        if module.endswith(".py") or not SPEC.fullmatch(spec):
            raise UsageError(f"--source {spec!r} is not of the form module:function{advice(spec)}")
        self.name = path.rpartition(".")[2]
        self.identity = spec
        self.call_timeout = timeout
        self._module, self._path = module, path
        self._folder, self._is_remembered = folder or str(Path.cwd()), bool(folder)
        self.options = {"source": spec, "folder": self._folder}

    def open(self) -> None:
        """Import the function; raise UsageError with the place in the user's code."""
        if not callable(self.function):
            raise UsageError(f"--source {self.identity}: it cannot be called")

    def fetch_data(self, day: date) -> Iterable[Row]:
        return self.function(day)

    def close(self) -> None:
        with suppress(ValueError):
            sys.path.remove(self._folder)

    @cached_property
    def function(self) -> FetchData:
        seconds = max(self.call_timeout, IMPORT_SECONDS)
        try:
            return call_isolated(self._import, seconds, Future())
        except StuckError:
            raise UsageError(
                f"--source {self.identity}: its import does not end within {seconds:g} s; a "
                "longer --timeout allows more"
            ) from None

    def _import(self, _is_abandoned: IsAbandoned) -> FetchData:
        sys.path.insert(0, self._folder)
        try:
            found: Any = importlib.import_module(self._module)
            for name in self._path.split("."):
                found = getattr(found, name)
        except BaseException as error:
            raise UsageError(f"--source {self.identity}: {self._why(error)}") from error
        return cast(FetchData, found)

    def _why(self, error: BaseException) -> str:
        """Return why the import failed, with the place in the user's code where there is one."""
        if isinstance(error, ModuleNotFoundError) and is_part_of(error.name, self._module):
            moved = f"; if it moved: adsfetch rename --source {self.identity} in its new folder"
            why = f"there is no module {error.name!r} in {self._folder} or among the packages"
            return why + moved if self._is_remembered else why
        if place := place_of(error):
            return f"{describe(error)} ({place})"
        module = sys.modules.get(self._module)
        file = Path(self._folder, *self._module.split(".")).with_suffix(".py")
        found = getattr(module, "__file__", None) or "part of Python"
        if file.exists() and str(file) != str(found):
            return f"{self._module!r} is {found}, not {file}: rename that file"
        return f"{found} has no {self._path!r}" if module else describe(error)


def advice(spec: str) -> str:
    """Return what to write instead of a file or a call; an empty string for other mistakes."""
    path, _, function = spec.partition(":")
    if not (path.endswith(".py") or "/" in path or function.endswith("()")):
        return ""
    file, folder = Path(path.removesuffix(".py")), Path.cwd()
    relative = file.relative_to(folder) if file.is_relative_to(folder) else file
    function = function.removesuffix("()") or "fetch_data"
    module = ".".join(relative.parts)
    if SPEC.fullmatch(f"{module}:{function}"):
        return f": write --source {module}:{function}"
    return f": write --source {file.name}:{function}, and run adsfetch in the folder {file.parent}"


def is_part_of(name: str | None, module: str) -> bool:
    """Return whether a missing module is the named one or a package that it is in."""
    return bool(name) and f"{module}.".startswith(f"{name}.")


def place_of(error: BaseException) -> str:
    """Return file and line of the user's code in which an import failed; else an empty string."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if not frame.filename.startswith(IMPORTING)]
    own = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)] or frames
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else ""
