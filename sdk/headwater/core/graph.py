"""Edges between tasks, and the orders that follow from them. Nothing here runs anything."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.errors import CycleError

if TYPE_CHECKING:
    from headwater.core.task import Task


@dataclass(frozen=True, eq=True)
class Edge:
    """*downstream* runs after *upstream*; with a *key* it receives its result as that argument."""

    upstream: Task
    downstream: Task
    key: str | None = None

    def __repr__(self) -> str:
        arrow = f" as {self.key!r}" if self.key else ""
        return f"<Edge {self.upstream.name} -> {self.downstream.name}{arrow}>"


def topological_order(tasks: Sequence[Task], edges: Iterable[Edge]) -> list[Task]:
    """Return the tasks so that each stands after everything upstream of it.

    Raises CycleError that names the tasks of one cycle.
    """
    sorter: graphlib.TopologicalSorter[Task] = graphlib.TopologicalSorter(dict.fromkeys(tasks, ()))
    for edge in edges:
        sorter.add(edge.downstream, edge.upstream)
    try:
        return list(sorter.static_order())
    except graphlib.CycleError as error:
        # graphlib lists a cycle against the direction of the edges.
        names = " -> ".join(f'"{task.name}"' for task in reversed(error.args[1]))
        raise CycleError(f"Cycle found; flows must be acyclic: {names}. Take one of these dependencies out.") from None


def slugs(tasks: Sequence[Task]) -> dict[Task, str]:
    """Return a stable id per task: `<name>-<n>`, n counting from 1 in the order of definition."""
    seen: dict[str, int] = {}
    result = {}
    for task in tasks:
        if task.slug is not None:
            result[task] = task.slug
            continue
        seen[task.name] = seen.get(task.name, 0) + 1
        result[task] = f"{task.name}-{seen[task.name]}"
    return result
