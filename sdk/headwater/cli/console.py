"""Where commands print to: as wide as the terminal for a person, wide enough for any line in a log."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import typer
from rich.console import Console

LOG_WIDTH = 400


def console() -> Console:
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else LOG_WIDTH)


@contextlib.contextmanager
def interruptible(words: str) -> Iterator[None]:
    """Say what a Ctrl-C has ended, and exit 130 as shells expect."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"headwater: {words}", file=sys.stderr)
        raise typer.Exit(130) from None
