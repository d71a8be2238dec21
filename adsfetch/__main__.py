"""Let ``python -m adsfetch`` be the command."""

from adsfetch.cli import main

main()
