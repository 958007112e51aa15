"""Building a flow: tasks, edges and constants come in. `Flow` adds what can be done with it."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Self

from headwater.core.collections import Constant, as_task, gather_tasks
from headwater.core.context import context
from headwater.core.errors import FlowError
from headwater.core.flow_view import FlowView
from headwater.core.graph import Edge
from headwater.core.mapping import Argument, check_mappable, read_argument
from headwater.core.parameter import Parameter
from headwater.core.task import Task


class FlowBuild(FlowView):
    """A named graph of tasks that grows, by calls of tasks inside its `with` block or by the methods here."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._scopes: list[Any] = []

    def __enter__(self) -> Self:
        # A flow inside the block of another has nothing to do with what is open there.
        scope = context(flow=self, blocks=(), made_tasks={})
        scope.__enter__()
        self._scopes.append(scope)
        return self

    def __exit__(self, *exception: Any) -> None:
        made = context.get("made_tasks", {})
        self._scopes.pop().__exit__(*exception)
        if exception[0] is None:
            self._warn_of_forgotten(made)

    def _warn_of_forgotten(self, made: Iterable[Task]) -> None:
        forgotten = [task.name for task in made if task not in self._graph and not task.auto_generated]
        if forgotten:
            names = ", ".join(f'"{name}"' for name in forgotten)
            warnings.warn(
                f'Flow "{self.name}": Tasks were created but not added to the flow: {names}. '
                "Call them, or add them with flow.add_task(...).",
                UserWarning,
                stacklevel=3,
            )

    def add_task(self, task: Task) -> Task:
        """Add a task, once; return it. Raises FlowError when another task has its explicit slug."""
        if not isinstance(task, Task):
            raise TypeError(f'Flow "{self.name}": {task!r} is not a task; decorate the function with @task.')
        if task in self._graph:
            return task
        self._check_slug(task)
        self._graph.add_task(task)
        if context.get("flow") is self:
            self._tell_blocks(task)
        return task

    def _check_slug(self, task: Task, instead_of: Task | None = None) -> None:
        holder = None if task.slug is None else self._graph.holder_of(task.slug)
        if holder not in (None, task, instead_of):
            what = "parameter" if isinstance(task, Parameter) else "slug"
            raise FlowError(f'Flow "{self.name}" has the {what} "{task.slug}" already; choose another name.')

    def _tell_blocks(self, task: Task) -> None:
        for block in context.get("blocks", ()):
            block.note_task(task)

    def add_edge(
        self,
        upstream_task: Any,
        downstream_task: Any,
        key: str | None = None,
        mapped: bool = False,
        flattened: bool = False,
        validate: bool | None = None,
    ) -> Edge:
        """Make one task run after another; with a *key*, its result becomes that argument.

        What is no task becomes one. *validate* looks for a cycle at once.
        """
        downstream = self.add_task(as_task(downstream_task, self))
        argument = read_argument(upstream_task, _what(downstream, key), mapped)
        value = gather_tasks(argument.value, self)
        edge = self._add_edge(value, downstream, key, argument.mapped, argument.flattened or flattened)
        if validate:
            self.sorted_tasks()
        return edge

    def _add_edge(self, upstream: Any, task: Task, key: str | None, mapped: bool, flattened: bool) -> Edge:
        if not isinstance(upstream, Task):
            if mapped:
                check_mappable(upstream, _what(task, key))
            upstream = Constant(upstream)
        if isinstance(task, Parameter):
            raise FlowError(
                f'Parameter "{task.name}" cannot run after task "{upstream.name}": '
                "parameters are known before the flow runs."
            )
        edge = Edge(self.add_task(upstream), task, key, mapped, flattened)
        self._graph.add_edge(edge)
        return edge

    def chain(self, *tasks: Task) -> list[Edge]:
        """Make each of these tasks run after the one before it."""
        return [self.add_edge(up, down) for up, down in itertools.pairwise(tasks)]

    def set_dependencies(
        self,
        task: Any,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        mapped: bool = False,
        validate: bool | None = None,
    ) -> None:
        """Add a task with all that it waits for, all that waits for it, and its arguments.

        An argument that is no task and not mapped is a constant of the flow. With *mapped*, the task runs once per
        item of everything that is not marked `unmapped(...)`.
        """
        task = self.add_task(as_task(task, self))
        arguments: list[tuple[str | None, Argument]] = [
            (key, read_argument(value, _what(task, key), mapped)) for key, value in (keyword_tasks or {}).items()
        ]
        for upstream in _each(upstream_tasks, "upstream_tasks", task):
            arguments.append((None, read_argument(upstream, _what(task, None), mapped)))
        if mapped and not any(argument.mapped for _, argument in arguments):
            raise FlowError(f'Task "{task.name}" is mapped over nothing; give it an argument that is not unmapped().')
        for key, argument in arguments:
            self._give(task, key, argument)
        for downstream in _each(downstream_tasks, "downstream_tasks", task):
            self.add_edge(task, downstream)
        if validate:
            self.sorted_tasks()

    def _give(self, task: Task, key: str | None, argument: Argument) -> None:
        value = gather_tasks(argument.value, self)
        if isinstance(value, Task) or key is None or argument.mapped or argument.flattened:
            self._add_edge(value, task, key, argument.mapped, argument.flattened)
        else:
            self._graph.set_constant(task, key, value)

    def replace(self, old: Task, new: Any, validate: bool | None = None) -> None:
        """Put another task where *old* stands, with its edges and constants. Raises FlowError when *old* is absent."""
        if old not in self._graph:
            raise FlowError(f'Flow "{self.name}" has no task "{old.name}" to be replaced.')
        substitute = as_task(new, self)
        self._check_slug(substitute, instead_of=old)
        if isinstance(substitute, Parameter) and self.edges_to(old):
            raise FlowError(
                f'Parameter "{substitute.name}" cannot stand where "{old.name}" does, which runs after other tasks.'
            )
        self._graph = self._graph.copy({old: substitute})
        self._reference_tasks = [substitute if task is old else task for task in self._reference_tasks]
        if validate:
            self.validate()

    def update(
        self,
        flow: FlowView,
        merge_parameters: bool = False,
        validate: bool | None = None,
        merge_reference_tasks: bool = False,
    ) -> None:
        """Take over all tasks, edges and constants of another flow.

        With *merge_parameters* parameters of one name become one, that of this flow; without it they are refused.
        """
        references = self.reference_tasks()
        own = {p.name: p for p in self.parameters()} if merge_parameters else {}
        known: dict[Task, Task] = {p: own[p.name] for p in flow.parameters() if p.name in own}
        for task in flow.tasks:
            self.add_task(known.get(task, task))
        for edge in flow.edges:
            upstream = known.get(edge.upstream, edge.upstream)
            self._graph.add_edge(Edge(upstream, edge.downstream, edge.key, edge.mapped, edge.flattened))
        for task, constants in flow.constants.items():
            for key, value in constants.items():
                # A task of both flows has its constants here already.
                if key not in self._graph.filled(task):
                    self._graph.set_constant(task, key, value)
        if merge_reference_tasks:
            references += [known.get(task, task) for task in flow.reference_tasks()]
            self.set_reference_tasks(dict.fromkeys(references))
        if validate:
            self.validate()

    def copy(self) -> Self:
        """Return a flow of the same tasks, to which tasks can be added without changing this one."""
        new = copy.copy(self)
        new._graph = self._graph.copy()
        new._reference_tasks, new._scopes = list(self._reference_tasks), []
        return new

    def set_reference_tasks(self, tasks: Iterable[Task]) -> None:
        """Let these tasks decide the state of a run; by default the terminal tasks do."""
        chosen = list(tasks)
        for task in chosen:
            if task not in self._graph:
                raise FlowError(f'Flow "{self.name}" has no task "{task.name}" to be a reference task.')
        self._reference_tasks = chosen

    def validate(self) -> None:
        """Raise FlowError when the flow cannot run: a cycle, an argument that nothing fills, and the like."""
        from headwater.core.validation import check_flow

        check_flow(self)


def _what(task: Task, key: str | None) -> str:
    return f'Task "{task.name}": ' + ("a task upstream" if key is None else f'argument "{key}"')


def _each(tasks: Iterable[Any] | None, what: str, task: Task) -> list[Any]:
    if tasks is None:
        return []
    if isinstance(tasks, Task | str):
        raise TypeError(f'Task "{task.name}": {what} is a list of tasks, such as {what}=[{tasks!r}].')
    return list(tasks)
