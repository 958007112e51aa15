"""Looking at a flow: its tasks, edges and orders. `FlowBuild` adds how they come about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from headwater.core import graph
from headwater.core.errors import FlowError
from headwater.core.graph import Edge, Graph
from headwater.core.parameter import Parameter
from headwater.core.task import Task


class FlowView:
    """A named graph of tasks, as one may look at it. Lists are in the order of definition, unless they say another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._graph = Graph()
        self._reference_tasks: list[Task] = []

    @property
    def tasks(self) -> list[Task]:
        """All tasks, in the order of definition."""
        return self._graph.tasks

    @property
    def edges(self) -> list[Edge]:
        return self._graph.edges

    @property
    def constants(self) -> dict[Task, dict[str, Any]]:
        """The arguments that are no task's results: `constants[task][key]`."""
        return self._graph.constants

    @property
    def slugs(self) -> dict[Task, str]:
        """The stable id of each task: `<name>[-<sorted tags>]-<n>`, or the slug it was given."""
        return graph.slugs(self.tasks)

    def __contains__(self, task: object) -> bool:
        return task in self._graph

    def __iter__(self) -> Iterator[Task]:
        """Go through the tasks, each after everything upstream of it."""
        return iter(self.sorted_tasks())

    def place_of(self, task: Task) -> float:
        """Return which task of the flow it is, from 0; infinity when it is none."""
        return self._graph.place_of(task)

    def parameters(self) -> list[Parameter]:
        return [task for task in self.tasks if isinstance(task, Parameter)]

    def get_tasks(
        self,
        name: str | None = None,
        slug: str | None = None,
        tags: Iterable[str] | None = None,
        task_type: type[Task] | None = None,
    ) -> list[Task]:
        """Return the tasks that have all that is asked for, all *tags* too, in the order of definition."""
        wanted = set(tags or ())
        slugs = self.slugs if slug is not None else {}
        return [
            task
            for task in self.tasks
            if (name is None or task.name == name)
            and (slug is None or slugs[task] == slug)
            and wanted <= task.tags
            and (task_type is None or isinstance(task, task_type))
        ]

    def edges_to(self, task: Task) -> list[Edge]:
        return self._graph.edges_to(self._member(task))

    def edges_from(self, task: Task) -> list[Edge]:
        return self._graph.edges_from(self._member(task))

    def upstream_tasks(self, task: Task) -> list[Task]:
        """Return what *task* waits for directly, each once, in the order of definition."""
        return list(dict.fromkeys(edge.upstream for edge in self.edges_to(task)))

    def downstream_tasks(self, task: Task) -> list[Task]:
        return list(dict.fromkeys(edge.downstream for edge in self.edges_from(task)))

    def all_upstream_edges(self) -> dict[Task, list[Edge]]:
        return {task: self._graph.edges_to(task) for task in self.tasks}

    def all_downstream_edges(self) -> dict[Task, list[Edge]]:
        return {task: self._graph.edges_from(task) for task in self.tasks}

    def is_mapped(self, task: Task) -> bool:
        """Whether a task runs once per item of something."""
        return self._graph.is_mapped(task)

    def filled_arguments(self, task: Task) -> set[str]:
        """Return the arguments of a task that have a value."""
        return self._graph.filled(self._member(task))

    def root_tasks(self) -> list[Task]:
        """Return the tasks that wait for nothing."""
        return [task for task in self.tasks if not self._graph.edges_to(task)]

    def terminal_tasks(self) -> list[Task]:
        """Return the tasks that nothing waits for."""
        return [task for task in self.tasks if not self._graph.edges_from(task)]

    def reference_tasks(self) -> list[Task]:
        """Return the tasks that decide the state of a run.

        By default those that nothing waits for, other than a resource manager that cleans up.
        """
        if self._reference_tasks:
            return list(self._reference_tasks)
        return [
            task
            for task in self.tasks
            if not task.is_cleanup_task
            and all(edge.downstream.is_cleanup_task for edge in self._graph.edges_from(task))
        ]

    def sorted_tasks(self, root_tasks: Iterable[Task] | None = None) -> list[Task]:
        """Return the tasks, each after everything upstream of it. Raises CycleError.

        With *root_tasks* only these and what runs after them.
        """
        order = graph.topological_order(self.tasks, self.edges)
        if root_tasks is None:
            return order
        wanted = self._graph.reachable([self._member(task) for task in root_tasks])
        return [task for task in order if task in wanted]

    def _member(self, task: Task) -> Task:
        if task not in self._graph:
            raise FlowError(f'Flow "{self.name}" has no task {task!r}; a call in the flow returns the task it added.')
        return task

    def __eq__(self, other: object) -> bool:
        """Whether both have the same name, tasks, edges and reference tasks."""
        if not isinstance(other, FlowView):
            return NotImplemented
        return (
            self.name == other.name
            and set(self.tasks) == set(other.tasks)
            and set(self.edges) == set(other.edges)
            and set(self.reference_tasks()) == set(other.reference_tasks())
        )

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f'<Flow "{self.name}" of {len(self.tasks)} tasks>'
