"""The table of a run's tasks, made from the entries of its status: those of a FlowRun, or of a run right here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from headwater import states
from headwater.resources.conditions import parse_timestamp


def task_table(tasks: Iterable[dict[str, Any]]) -> Table:
    """The tasks of a run with their states and times; of a mapped one, how its children are."""
    table = Table(box=None, pad_edge=False)
    for column in ("TASK", "STATE", "SECONDS", "RUNS"):
        table.add_column(column, justify="right" if column in ("SECONDS", "RUNS") else "left", no_wrap=True)
    table.add_column("MESSAGE", overflow="fold")
    for task in tasks:
        kind = getattr(states, task["state"], states.State)
        state = Text(task["state"], style=kind.color)
        table.add_row(task["name"], state, _seconds(task), str(task.get("runs", "")), Text(_words(task)))
    return table


def _words(task: dict[str, Any]) -> str:
    if "mapped" not in task:
        return str(task.get("message", ""))
    counts = task["mapped"]
    parts = [f"{count} {name}" for name, count in counts.items() if count and name != "total"]
    words = f"{counts['total']} children" + (f": {', '.join(parts)}" if parts else "")
    failed = task.get("failedChildren", [])
    return words + (
        f"; the first that failed, [{failed[0]['index']}]: {failed[0].get('message', '')}" if failed else ""
    )


def _seconds(task: dict[str, Any]) -> str:
    if "startedAt" not in task or "finishedAt" not in task:
        return ""
    return f"{(parse_timestamp(task['finishedAt']) - parse_timestamp(task['startedAt'])).total_seconds():.2f}"
