"""Flows: named graphs of tasks, built by calling tasks inside a `with Flow(...)` block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.core import graph
from headwater.core.context import context
from headwater.core.errors import FlowError, ParameterError
from headwater.core.graph import Edge
from headwater.core.parameter import Parameter
from headwater.core.states import State
from headwater.core.task import Task


class Flow:
    """A DAG of tasks.

        with Flow("etl") as flow:
            load(transform(extract()))
        state = flow.run()

    The name may be any text. *executor* is what `flow.run()` uses when it is given none.
    """

    def __init__(self, name: str, *, executor: Any = None) -> None:
        if not isinstance(name, str) or not name:
            raise FlowError("A name must be provided for the flow, such as Flow('etl').")
        self.name = name
        self.executor = executor
        self.tasks: list[Task] = []
        self.edges: list[Edge] = []
        self._edges: set[Edge] = set()
        self.constants: dict[Task, dict[str, Any]] = {}
        self._members: set[Task] = set()
        self._keys: set[tuple[Task, str]] = set()
        self._reference_tasks: list[Task] = []
        self._scopes: list[Any] = []

    # Building

    def __enter__(self) -> Flow:
        scope = context(flow=self)
        scope.__enter__()
        self._scopes.append(scope)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._scopes.pop().__exit__(*exception)

    def add_task(self, task: Task) -> Task:
        """Add a task, once; return it. Raises FlowError when another task has its explicit slug."""
        if not isinstance(task, Task):
            raise TypeError(f'Flow "{self.name}": {task!r} is not a task; decorate the function with @task.')
        if task in self._members:
            return task
        if task.slug is not None and any(other.slug == task.slug for other in self.tasks):
            what = "parameter" if isinstance(task, Parameter) else "slug"
            raise FlowError(f'Flow "{self.name}" has the {what} "{task.slug}" already; choose another name.')
        self._members.add(task)
        self.tasks.append(task)
        return task

    def add_edge(self, upstream_task: Task, downstream_task: Task, key: str | None = None) -> Edge:
        """Make one task run after another; with a *key*, its result becomes that argument."""
        if isinstance(downstream_task, Parameter):
            raise FlowError(
                f'Parameter "{downstream_task.name}" cannot run after task "{upstream_task.name}": '
                "parameters are known before the flow runs."
            )
        if upstream_task is downstream_task:
            raise FlowError(f'Task "{upstream_task.name}" cannot run after itself.')
        if key is not None and (downstream_task, key) in self._keys:
            raise FlowError(f'Task "{downstream_task.name}" has its argument "{key}" already; each is given once.')
        edge = Edge(self.add_task(upstream_task), self.add_task(downstream_task), key)
        if key is not None:
            self._keys.add((downstream_task, key))
        if edge not in self._edges:
            self._edges.add(edge)
            self.edges.append(edge)
        return edge

    def set_dependencies(
        self,
        task: Task,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Task] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a task with all that it waits for, all that waits for it, and its arguments.

        An argument that is no task is a constant of the flow.
        """
        self.add_task(task)
        for key, value in (keyword_tasks or {}).items():
            if isinstance(value, Task):
                self.add_edge(value, task, key=key)
            else:
                self._set_constant(task, key, value)
        for upstream in _each(upstream_tasks, "upstream_tasks", task):
            self.add_edge(upstream, task)
        for downstream in _each(downstream_tasks, "downstream_tasks", task):
            self.add_edge(task, downstream)

    def _set_constant(self, task: Task, key: str, value: Any) -> None:
        inner = _first_task(value)
        if inner is not None:
            raise TypeError(
                f'Task "{task.name}": argument "{key}" is a collection that holds the task "{inner.name}"; '
                "hand tasks over as arguments of their own (collections of tasks are not supported yet)."
            )
        if (task, key) in self._keys:
            raise FlowError(f'Task "{task.name}" has its argument "{key}" already; each is given once.')
        self._keys.add((task, key))
        self.constants.setdefault(task, {})[key] = value

    def set_reference_tasks(self, tasks: Iterable[Task]) -> None:
        """Let these tasks decide the state of a run; by default the terminal tasks do."""
        chosen = list(tasks)
        for task in chosen:
            if task not in self._members:
                raise FlowError(f'Flow "{self.name}" has no task "{task.name}" to be a reference task.')
        self._reference_tasks = chosen

    # Looking

    @property
    def slugs(self) -> dict[Task, str]:
        """The stable id of each task: `<name>-<n>`, or the slug it was given."""
        return graph.slugs(self.tasks)

    def parameters(self) -> list[Parameter]:
        return [task for task in self.tasks if isinstance(task, Parameter)]

    def get_tasks(self, name: str) -> list[Task]:
        """Return the tasks of this name, in the order of definition."""
        return [task for task in self.tasks if task.name == name]

    def upstream_tasks(self, task: Task) -> list[Task]:
        """Return what *task* waits for directly, each once, in the order of definition."""
        return list(dict.fromkeys(edge.upstream for edge in self.edges if edge.downstream is task))

    def downstream_tasks(self, task: Task) -> list[Task]:
        return list(dict.fromkeys(edge.downstream for edge in self.edges if edge.upstream is task))

    def terminal_tasks(self) -> list[Task]:
        """Return the tasks that nothing waits for."""
        upstream = {edge.upstream for edge in self.edges}
        return [task for task in self.tasks if task not in upstream]

    def reference_tasks(self) -> list[Task]:
        return list(self._reference_tasks) or self.terminal_tasks()

    def sorted_tasks(self) -> list[Task]:
        """Return the tasks, each after everything upstream of it. Raises CycleError."""
        return graph.topological_order(self.tasks, self.edges)

    def validate(self) -> None:
        """Raise FlowError when the flow cannot run: a cycle, or an argument that nothing fills."""
        self.sorted_tasks()
        for task in self.tasks:
            missing = [
                p.name
                for p in task.signature().parameters.values()
                if p.default is p.empty and p.kind is not p.VAR_KEYWORD and (task, p.name) not in self._keys
            ]
            if missing:
                raise FlowError(
                    f'Task "{task.name}" in flow "{self.name}" gets no value for {", ".join(missing)}; '
                    "call it with all its arguments."
                )

    def check_parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all parameters for a run. Raises ParameterError for unknown and missing ones."""
        known = {p.name: p for p in self.parameters()}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ParameterError(
                f'Flow "{self.name}" received unexpected parameters: {", ".join(unknown)}; '
                f"it has {', '.join(sorted(known)) or 'none'}."
            )
        missing = sorted(name for name, p in known.items() if p.required and name not in given)
        if missing:
            raise ParameterError(f'Flow "{self.name}" did not receive the required parameters: {", ".join(missing)}.')
        return {name: given.get(name, p.default) for name, p in known.items()}

    # Running

    def run(self, parameters: Mapping[str, Any] | None = None, *, executor: Any = None, **kwargs: Any) -> State:
        """Run the flow in this process and return its final state; `state.result` is `{task: State}`.

        Parameters are given as a mapping or as keyword arguments. Raises ParameterError when
        one is missing or unknown, and FlowError inside the flow's own `with` block.
        """
        from headwater.run import run_flow

        if context.get("flow") is self:
            raise FlowError(f'Flow "{self.name}" cannot run inside its own `with` block; call run() after it.')
        return run_flow(self, {**(parameters or {}), **kwargs}, executor=executor or self.executor)

    def __repr__(self) -> str:
        return f'<Flow "{self.name}" of {len(self.tasks)} tasks>'


def _each(tasks: Iterable[Any] | None, what: str, task: Task) -> list[Task]:
    if tasks is None:
        return []
    if isinstance(tasks, Task | str):
        raise TypeError(f'Task "{task.name}": {what} is a list of tasks, such as {what}=[{tasks!r}].')
    return list(tasks)


def _first_task(value: Any) -> Task | None:
    """Find a task inside nested lists, tuples, sets and dicts, or None."""
    stack, seen = [value], set()
    while stack:
        item = stack.pop()
        if isinstance(item, Task):
            return item
        if id(item) in seen:
            continue  # a collection may hold itself
        seen.add(id(item))
        if isinstance(item, list | tuple | set | frozenset):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend([*item.keys(), *item.values()])
    return None
