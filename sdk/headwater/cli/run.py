"""`headwater run`: run a flow in this process."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from headwater.cli.console import console, interruptible
from headwater.cli.loading import load
from headwater.cli.tasks import task_table
from headwater.cli.values import parse_parameters, read_parameters
from headwater.core.errors import HeadwaterError
from headwater.core.flow import Flow
from headwater.core.states import State
from headwater.engine.events import Event
from headwater.engine.machine import Run
from headwater.executors import LocalDaskExecutor, LocalExecutor
from headwater.executors.base import Executor
from headwater.pod.report import task_entries
from headwater.run import run_flow


class ExecutorName(StrEnum):
    LOCAL = "local"
    THREADS = "threads"
    PROCESSES = "processes"
    DASK = "dask"


def run(
    entrypoint: Annotated[str, typer.Argument(help="file.py, file.py:flow or package.module:flow")],
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="name=value; may be repeated")] = None,
    param_file: Annotated[
        Path | None, typer.Option(help="a JSON or YAML file of parameters; --param goes before it")
    ] = None,
    executor: Annotated[
        ExecutorName | None,
        typer.Option(help="local: one task at a time; threads, processes: side by side; dask: a temporary cluster"),
    ] = None,
) -> None:
    """Run a flow here and print how each task ended; exit 0 on success, 1 on failure, 2 when it cannot run."""
    given = {**(read_parameters(param_file) if param_file is not None else {}), **parse_parameters(param or [])}
    flow = load(entrypoint)
    with interruptible("interrupted"):
        state = _watched(flow, given, _executor(executor) or flow.executor)
    raise typer.Exit(0 if state.is_successful() else 1)


def _executor(name: ExecutorName | None) -> Executor | None:
    if name is None:
        return None
    if name is ExecutorName.LOCAL:
        return LocalExecutor()
    if name is not ExecutorName.DASK:
        return LocalDaskExecutor(str(name))
    try:
        from headwater.executors import DaskExecutor
    except ImportError as error:
        raise HeadwaterError(str(error)) from None
    return DaskExecutor()


class Watcher:
    """What a run looks like now; rich asks for it while the run is under way."""

    def __init__(self) -> None:
        self.run: Run | None = None

    def __call__(self, run: Run, event: Event) -> None:
        self.run = run

    def __rich__(self) -> Table:
        return task_table(task_entries(self.run) if self.run is not None else [])


def _watched(flow: Flow, parameters: dict[str, Any], executor: Executor | None) -> State:
    """Run a flow, live for a person and in log lines otherwise; print its tasks and its state in the end."""
    out, watcher = console(), Watcher()
    if out.is_terminal:
        # The log scrolls above the table.
        with Live(watcher, console=Console(stderr=True), transient=True, refresh_per_second=8):
            state = run_flow(flow, parameters, executor=executor, observe=watcher)
    else:
        state = run_flow(flow, parameters, executor=executor, observe=watcher)
    out.print(watcher)
    out.print(f"{flow.name}: [{state.color}]{state.name}[/]")
    return state
