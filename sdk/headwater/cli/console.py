"""Where commands print to: as wide as the terminal for a person, wide enough for any line in a log."""

from __future__ import annotations

import sys

from rich.console import Console

LOG_WIDTH = 400


def console() -> Console:
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else LOG_WIDTH)
