"""Cursors of the event log as text."""

import pytest

from app.events import log

NAME = "0123456789abcdef"
WRONG = ["", "-", NAME, f"{NAME}-", f"{NAME}-01", f"{NAME}--1", f"{NAME}-+1", f"{NAME}-1 "]
WRONG += [f"{NAME}-1\n", f"{NAME.upper()}-1", f"{NAME[1:]}-1", f"{NAME}0-1", f"{NAME}-1_0"]
WRONG += [f"{NAME}-{2**63}", f"{NAME}-{'9' * 5_000}", f"{NAME}-\u0661"]


@pytest.mark.parametrize("position", [0, 1, 10, 2**63 - 1])
def test_a_formatted_cursor_can_be_parsed(position):
    name = log.new_log_name()
    written = log.format_cursor(name, position)
    assert log.parse_cursor(written) == (name, position)


@pytest.mark.parametrize("wrong", WRONG)
def test_any_other_text_is_not_a_cursor(wrong):
    with pytest.raises(ValueError, match="not a cursor"):
        log.parse_cursor(wrong)
