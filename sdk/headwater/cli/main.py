"""The command line: one module per verb, each parsing, calling and printing."""

from __future__ import annotations

import logging
import sys

import typer

from headwater import __version__
from headwater.cli.backfill import backfill
from headwater.cli.build import build
from headwater.cli.control import approve, cancel, mark, reject, restart
from headwater.cli.register import register
from headwater.cli.run import run
from headwater.cli.start import start
from headwater.cli.watch import watch
from headwater.core.errors import HeadwaterError

app = typer.Typer(
    help="Headwater: Python data flows, here and on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(run)
app.command()(build)
app.command()(register)
app.command()(start)
app.command()(watch)
app.command()(backfill)
for verb in (cancel, approve, reject, mark, restart):
    app.command()(verb)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headwater {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of every verb."""


def main() -> None:
    """Run the command line; an error of the user's or the cluster's is one line, and the exit code is 2."""
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a server that is away is told once, in words
    try:
        app()
    except HeadwaterError as error:
        print(f"headwater: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
