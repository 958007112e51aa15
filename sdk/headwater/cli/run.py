"""`headwater run`: run a flow in this process."""

from __future__ import annotations

import traceback
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from headwater.cli.console import console, interruptible
from headwater.cli.values import parse_parameters
from headwater.core.entrypoint import load_flow
from headwater.core.errors import EntrypointError, HeadwaterError
from headwater.core.flow import Flow
from headwater.core.parameter import Parameter
from headwater.core.states import State
from headwater.executors import LocalExecutor
from headwater.executors.base import Executor
from headwater.run import run_flow


class ExecutorName(StrEnum):
    LOCAL = "local"
    DASK = "dask"


def run(
    entrypoint: Annotated[str, typer.Argument(help="file.py, file.py:flow or package.module:flow")],
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="name=value; may be repeated")] = None,
    executor: Annotated[
        ExecutorName | None, typer.Option(help="local: one task at a time; dask: a temporary cluster here")
    ] = None,
) -> None:
    """Run a flow here and print how each task ended; exit 0 on success, 1 on failure, 2 when it cannot run."""
    flow = _load(entrypoint)
    with interruptible("interrupted"):
        state = run_flow(flow, parse_parameters(param or []), executor=_executor(executor) or flow.executor)
    print_states(flow, state)
    raise typer.Exit(0 if state.is_successful() else 1)


def _load(entrypoint: str) -> Flow:
    """Import the flow; what its module raises on import is shown from the user's own lines on."""
    try:
        return load_flow(entrypoint)
    except HeadwaterError:
        raise
    except Exception as error:
        tail = traceback.format_exception(type(error), error, error.__traceback__)
        raise EntrypointError(f'"{entrypoint}" cannot be imported:\n{"".join(tail[-3:]).rstrip()}') from None


def _executor(name: ExecutorName | None) -> Executor | None:
    if name is None:
        return None
    if name is ExecutorName.LOCAL:
        return LocalExecutor()
    try:
        from headwater.executors import DaskExecutor
    except ImportError as error:
        raise HeadwaterError(str(error)) from None
    return DaskExecutor()


def print_states(flow: Flow, state: State) -> None:
    """Print a line per task and the final state."""
    table = Table(box=None, pad_edge=False)
    for column in ("TASK", "STATE", "MESSAGE"):
        table.add_column(column, overflow="fold")
    results: dict[Any, State] = state.result or {}
    for task, slug in flow.slugs.items():
        if isinstance(task, Parameter) or task not in results:
            continue
        name = task.name if len(flow.get_tasks(task.name)) == 1 else slug
        message = results[task].message or "" if results[task].is_failed() else ""
        table.add_row(name, f"[{results[task].color}]{results[task].name}[/]", message)
    out = console()
    out.print(table)
    out.print(f"{flow.name}: [{state.color}]{state.name}[/]")
