"""Help texts, and exit codes inside another group."""

import click
import pytest
from click.testing import CliRunner

from adsfetch.cli import ads as group


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert f"adsfetch {name}" in result.output.partition("Examples:")[2]


def test_inside_another_group_the_exit_codes_are_the_same(tmp_path):
    other = click.Group("shop", commands={"ads": group})
    arguments = ["ads", "fetch", "2024-03-04", "2024-03-05", "--out", str(tmp_path)]
    assert CliRunner().invoke(other, arguments).exit_code == 2
    source = ["--source", "adsfetch.example:fetch_data"]
    assert CliRunner().invoke(other, [*arguments, *source]).exit_code == 0
