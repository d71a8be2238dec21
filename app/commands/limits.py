"""`flask limits suggest`: quotas that fit what the clients of a running service send."""

from collections import Counter
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from math import inf
from urllib.parse import urlsplit

import click
from flask.cli import AppGroup
from prometheus_client.parser import text_string_to_metric_families

from app.auth.demand import BUCKETS, METRIC
from app.config import Settings
from app.services import current_services

TIMEOUT_SECONDS = 10
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced, not listened on
Histogram = Counter[float]
"""By the upper limit of each bucket: in how many minutes a client sent so many requests or less."""

limits = AppGroup("limits", help="Choose the rate limits.")


@limits.command()
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "--cover",
    type=click.FloatRange(50, 100),
    default=99.9,
    show_default=True,
    help="Percent of the minutes of all clients in which nothing would be refused.",
)
def suggest(urls: tuple[str, ...], cover: float) -> None:
    """Propose RATE_LIMIT_READ and RATE_LIMIT_WRITE by what clients have sent so far.

    The figures are those of /metrics at each URL; without one, of the service at HOST and PORT.
    METRICS_TOKEN is sent if it is set.
    """
    settings = current_services().settings
    found = {"read": Histogram(), "write": Histogram()}
    for url in urls or (_own_url(settings),):
        _add(found, url, _read(url, settings.metrics_token))
    proposals = [_propose(kind, histogram, cover) for kind, histogram in found.items()]
    if not any(proposals):
        raise click.ClickException("there is nothing to propose from yet")
    click.echo("Try it out with RATE_LIMIT_TRIAL=true: docs/access.md, Limits.", err=True)


def _own_url(settings: Settings) -> str:
    host = ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/metrics"


def _read(url: str, token: str | None) -> str:
    try:
        parts = urlsplit(url)
        make = {"http": HTTPConnection, "https": HTTPSConnection}[parts.scheme]
        connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    except (KeyError, ValueError):
        raise click.BadParameter(f"not a URL of http or https: {url!r}") from None
    # Without redirects: the token is for this host.
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", parts.path or "/metrics", headers=headers)
        response = connection.getresponse()
        text: str = response.read().decode()
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        raise click.ClickException(f"{url} cannot be read: {error}") from None
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        hint = "; set METRICS_TOKEN" if response.status == HTTPStatus.UNAUTHORIZED else ""
        raise click.ClickException(f"{url} cannot be read: {response.status}{hint}")
    return text


def _add(found: dict[str, Histogram], url: str, text: str) -> None:
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples if family.name == METRIC else ():
                if sample.name == f"{METRIC}_bucket" and sample.labels["kind"] in found:
                    found[sample.labels["kind"]][float(sample.labels["le"])] += int(sample.value)
    except (ValueError, KeyError, IndexError) as error:
        raise click.ClickException(f"{url} has no metrics: {error}") from None


def _propose(kind: str, histogram: Histogram, cover: float) -> bool:
    """Print a proposal; return whether there is one."""
    minutes = max(histogram.values(), default=0)
    if not minutes:
        click.echo(f"{kind}s: no minute is over yet in which a client sent any", err=True)
        return False

    def within(percent: float) -> float:
        reached = (bound for bound, n in histogram.items() if n >= minutes * percent / 100)
        return min(reached, default=inf)  # if the percentage is not a number

    parts = [f"{percent:g} % <= {within(percent):g}" for percent in sorted({50, 99, cover, 100})]
    click.echo(f"{kind}s in {minutes} minutes of a client: {', '.join(parts)}", err=True)
    if minutes * (1 - cover / 100) < 1:
        click.echo(f"{kind}s: too few for {cover:g} %: the busiest minute counts", err=True)
    # Any 60 seconds lie in two of the minutes that were counted.
    quota = next((bound for bound in BUCKETS if bound >= 2 * within(cover)), None)
    if quota is None:
        click.echo(f"{kind}s: more than can be counted; choose a quota by hand", err=True)
        return False
    click.echo(f"RATE_LIMIT_{kind.upper()}={quota}/minute")
    return True
