"""Servers that are measured by turns, and the ratios of their results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Load, Rate, measure
from bench.servers import CACHED, body_of
from bench.table import print_table, spread
from stress.service import Service

TRIES = 3
"""A round in which a cached response did not come from the cache is repeated: on a machine that
does other work Redis may take longer than the service waits for it."""


@dataclass(frozen=True)
class Ratio:
    """Two servers that are compared, and the minimum of the ratio if it has a target."""

    left: str
    right: str
    minimum: float | None = None
    per: str = "CPU s"
    """Whether the target is for requests per second of CPU or of time, a key of PER."""


@dataclass(frozen=True)
class Scenario:
    """A path that servers are measured with."""

    title: str
    path: str
    ratios: Sequence[Ratio]
    connections: int = 16
    many_clients: bool = False

    @property
    def servers(self) -> list[str]:
        """Return the servers of all ratios, each once."""
        return list(dict.fromkeys(name for each in self.ratios for name in (each.left, each.right)))


Results = Mapping[str, Sequence[Rate]]
"""The results of each server, round by round."""
PER: Mapping[str, Callable[[Rate], float]] = {
    "CPU s": lambda rate: rate.per_cpu_second,
    "s": lambda rate: rate.per_second,
}


def measure_rounds(
    scenario: Scenario, servers: Mapping[str, Service], rounds: int, seconds: float
) -> Results:
    """Measure the servers of a scenario by turns, after a warm-up."""
    results: dict[str, list[Rate]] = {name: [] for name in scenario.servers}
    for name in results:
        body_of(servers[name], scenario.path)
    for number in range(rounds + 1):
        for name, measured in results.items():
            # In each round other addresses, so that no client is the one of an earlier round.
            first = f"10.{number}.0.0" if scenario.many_clients else ""
            server = servers[name]
            where = (server.pid or 0, server.port, scenario.path)
            load = Load(*where, seconds, scenario.connections, first)
            measured.append(_measure(name, load))
    return {name: measured[1:] for name, measured in results.items()}


def _measure(name: str, load: Load) -> Rate:
    for _ in range(TRIES):
        rate = measure(load)
        if rate.failed:
            raise SystemExit(f"{name}, {load.path}: {rate.failed} requests failed")
        if rate.hits == float(name in CACHED):
            return rate
        print(f"{name}, {load.path}: {rate.hits:.1%} hits, this round does not count")
    raise SystemExit(f"{name}, {load.path}: {TRIES} such rounds, one after another")


def print_results(scenario: Scenario, results: Results) -> None:
    """Print a table of the rates and one of the ratios."""
    connections = (
        "one connection" if scenario.connections == 1 else f"{scenario.connections} connections"
    )
    print(f"\n### {scenario.title}: GET {scenario.path}, {connections}\n")
    rows = [
        (
            name,
            *(f"{median(map(value, measured)):,.0f}" for value in PER.values()),
            f"{median(each.p50 for each in measured):.2f}",
            f"{median(each.p99 for each in measured):.2f}",
        )
        for name, measured in results.items()
    ]
    print_table(["server", *(f"requests / {unit}" for unit in PER), "p50 ms", "p99 ms"], rows)
    print()
    print_table(
        ["ratio, median (quartiles)", *(f"per {unit}" for unit in PER)],
        [
            (
                f"{each.left} / {each.right}",
                *(spread(values_of(each, results, unit)) for unit in PER),
            )
            for each in scenario.ratios
        ],
    )


def values_of(ratio: Ratio, results: Results, per: str) -> list[float]:
    """Return a ratio in each round."""
    pairs = zip(results[ratio.left], results[ratio.right], strict=True)
    return [PER[per](left) / PER[per](right) for left, right in pairs]


def outcomes(scenario: Scenario, results: Results) -> list[str]:
    """Return a line for each target, with its outcome."""
    lines = []
    for ratio in scenario.ratios:
        if ratio.minimum is not None:
            reached = median(values_of(ratio, results, ratio.per))
            outcome = "met" if reached >= ratio.minimum else "MISSED"
            target = f"{ratio.left} >= {ratio.minimum} x {ratio.right}, per {ratio.per}"
            lines.append(f"target, {scenario.title}: {target}: {reached:.3f}, {outcome}")
    return lines
