"""Days and months on the command line; they stay text until the account's time zone is known."""

import re
from datetime import date
from typing import Any

import click

from adsfetch.dates import parse_day, parse_period, today_in
from adsfetch.errors import UsageError

MINUS_NUMBER = re.compile(r"-\d.*", re.ASCII)


class Day(click.ParamType[str]):
    """A day in any unambiguous form."""

    name = "day"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Check the text, so that an error is reported before anything else happens."""
        text = str(value).strip()
        try:
            self.check(text, today_in(None))
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return text

    def check(self, text: str, today: date) -> None:
        """Raise UsageError if the text has another form."""
        parse_day(text, today)


class DayOrMonth(Day):
    """The start or the end of a range: a day in any unambiguous form, or a month."""

    name = "day or month"

    def check(self, text: str, today: date) -> None:
        parse_period(text, today)


class RangeCommand(click.Command):
    """A command with a range, in which -7d is a day and no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put a space before each day that starts with a minus; ``Day`` removes it."""
        options = (each for each in self.get_params(ctx) if isinstance(each, click.Option))
        with_value = {name for each in options if not each.is_flag for name in each.opts}
        before = ["", *args]
        days = [
            f" {arg}" if MINUS_NUMBER.fullmatch(arg) and last not in with_value else arg
            for last, arg in zip(before, args, strict=False)
        ]
        return super().parse_args(ctx, days)


START = click.argument("start", type=DayOrMonth())
END = click.argument("end", type=DayOrMonth(), required=False)
OPTIONAL_START = click.argument("start", type=DayOrMonth(), required=False)
