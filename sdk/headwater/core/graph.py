"""Tasks and the edges between them, indexed, and the orders that follow. Nothing here runs anything."""

from __future__ import annotations

import graphlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from headwater.core.errors import CycleError, FlowError

if TYPE_CHECKING:
    from headwater.core.task import Task


@dataclass(frozen=True, eq=True)
class Edge:
    """*downstream* runs after *upstream*; with a *key* it receives its result as that argument.

    *mapped*: it runs once per item of the result; *flattened*: one level of lists is taken away before.
    """

    upstream: Task
    downstream: Task
    key: str | None = None
    mapped: bool = False
    flattened: bool = False

    @property
    def upstream_task(self) -> Task:
        return self.upstream

    @property
    def downstream_task(self) -> Task:
        return self.downstream

    def __repr__(self) -> str:
        words = [f"as {self.key!r}"] if self.key else []
        words += [word for word, is_so in (("mapped", self.mapped), ("flattened", self.flattened)) if is_so]
        return f"<Edge {' '.join([self.upstream.name, '->', self.downstream.name, *words])}>"


class Graph:
    """The tasks, edges and constants of a flow, each in the order in which it was added."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.edges: list[Edge] = []
        self.constants: dict[Task, dict[str, Any]] = {}
        self._upstream: dict[Task, dict[Edge, None]] = {}
        self._downstream: dict[Task, dict[Edge, None]] = {}
        self._keys: dict[Task, set[str]] = {}
        self._slugs: dict[str, Task] = {}
        self._places: dict[Task, int] = {}

    def __contains__(self, task: object) -> bool:
        return task in self._upstream

    def holder_of(self, slug: str) -> Task | None:
        """Return the task that was added with this explicit slug."""
        return self._slugs.get(slug)

    def add_task(self, task: Task) -> None:
        if task in self._upstream:
            return
        if task.slug is not None:
            self._slugs[task.slug] = task
        self._upstream[task], self._downstream[task], self._keys[task] = {}, {}, set()
        self._places[task] = len(self.tasks)
        self.tasks.append(task)

    def place_of(self, task: Task) -> float:
        """Return which task of the flow it is, from 0; infinity when it is none."""
        return self._places.get(task, math.inf)

    def add_edge(self, edge: Edge) -> None:
        """Add an edge, once, with its tasks. Raises FlowError for an edge to itself and an argument given twice."""
        if edge.upstream is edge.downstream:
            raise FlowError(f'Task "{edge.upstream.name}" cannot run after itself.')
        self.add_task(edge.upstream)
        self.add_task(edge.downstream)
        if edge in self._upstream[edge.downstream]:
            return
        if edge.key is not None:
            self._fill(edge.downstream, edge.key)
        self._upstream[edge.downstream][edge] = None
        self._downstream[edge.upstream][edge] = None
        self.edges.append(edge)

    def set_constant(self, task: Task, key: str, value: Any) -> None:
        """Give an argument of a task a value that is no task's result."""
        self.add_task(task)
        self._fill(task, key)
        self.constants.setdefault(task, {})[key] = value

    def _fill(self, task: Task, key: str) -> None:
        if key in self._keys[task]:
            raise FlowError(f'Task "{task.name}" has its argument "{key}" already; each is given once.')
        self._keys[task].add(key)

    def filled(self, task: Task) -> set[str]:
        """Return the arguments of a task that have a value."""
        return self._keys[task]

    def edges_to(self, task: Task) -> list[Edge]:
        return list(self._upstream[task])

    def edges_from(self, task: Task) -> list[Edge]:
        return list(self._downstream[task])

    def is_mapped(self, task: Task) -> bool:
        """Whether a task runs once per item of something."""
        return any(edge.mapped for edge in self._upstream.get(task, ()))

    def copy(self, instead: Mapping[Task, Task] = MappingProxyType({})) -> Graph:
        """Return another graph of the same tasks, in which others stand where *instead* says so."""
        other = Graph()
        for task in self.tasks:
            other.add_task(instead.get(task, task))
        for edge in self.edges:
            up, down = instead.get(edge.upstream, edge.upstream), instead.get(edge.downstream, edge.downstream)
            other.add_edge(Edge(up, down, edge.key, edge.mapped, edge.flattened))
        for task, constants in self.constants.items():
            for key, value in constants.items():
                other.set_constant(instead.get(task, task), key, value)
        return other

    def reachable(self, roots: Iterable[Task]) -> set[Task]:
        """Return these tasks and all that run after them."""
        found: set[Task] = set()
        waiting = list(roots)
        while waiting:
            task = waiting.pop()
            if task not in found:
                found.add(task)
                waiting += [edge.downstream for edge in self._downstream[task]]
        return found


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
    """Return a stable id per task: `<name>[-<sorted tags>]-<n>`, or the slug that it was given.

    n counts from 1 per beginning, in the order of definition, and leaves out what is given.
    """
    given = {task.slug for task in tasks if task.slug is not None}
    seen: dict[str, int] = {}
    result = {}
    for task in tasks:
        slug = task.slug
        if slug is None:
            begin = "-".join([task.name, *sorted(task.tags)])
            number = seen.get(begin, 0) + 1
            while f"{begin}-{number}" in given:
                number += 1
            seen[begin] = number
            slug = f"{begin}-{number}"
        result[task] = slug
    return result
