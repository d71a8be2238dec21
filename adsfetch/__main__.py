"""Run the command with ``python -m adsfetch``."""

from adsfetch.cli import main

main()
