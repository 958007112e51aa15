"""Flows: named graphs of tasks, built by calling tasks inside a `with Flow(...)` block."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.core.collections import Constant, as_task, gather_tasks
from headwater.core.context import context
from headwater.core.errors import FlowError
from headwater.core.flow_runs import remember_flow
from headwater.core.flow_view import FlowView
from headwater.core.graph import Edge
from headwater.core.mapping import Argument, check_mappable, read_argument
from headwater.core.options import handlers
from headwater.core.parameter import Parameter, parameter_values
from headwater.core.states import State
from headwater.core.task import Task


class Flow(FlowView):
    """A DAG of tasks.

        with Flow("etl") as flow:
            load(transform(extract()))
        state = flow.run()

    The name may be any text. *executor* is what `flow.run()` uses when it is given none, *result* where the results
    of tasks go that say nothing else. *state_handlers* are called as `f(flow, old, new)`, *on_failure* as
    `f(flow, state)` and *terminal_state_handler* as `f(flow, state, reference_task_states)` before the last state.
    """

    def __init__(
        self,
        name: str,
        schedule: Any = None,
        executor: Any = None,
        run_config: Any = None,
        storage: Any = None,
        tasks: Iterable[Task] | None = None,
        edges: Iterable[Edge] | None = None,
        reference_tasks: Iterable[Task] | None = None,
        state_handlers: Sequence[Callable[..., Any]] | None = None,
        on_failure: Callable[..., Any] | None = None,
        validate: bool | None = None,
        result: Any = None,
        terminal_state_handler: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise FlowError("A name must be provided for the flow, such as Flow('etl').")
        super().__init__(name)
        self.schedule = schedule
        self.executor = executor
        self.run_config = run_config
        self.storage = storage
        self.state_handlers = handlers(f'Flow "{name}": state_handlers', state_handlers)
        self.on_failure = on_failure
        self.result = result
        self.terminal_state_handler = terminal_state_handler
        self._scopes: list[Any] = []
        for task in tasks or ():
            self.add_task(task)
        for edge in edges or ():
            self.add_edge(edge.upstream, edge.downstream, edge.key, edge.mapped, edge.flattened)
        if reference_tasks is not None:
            self.set_reference_tasks(reference_tasks)
        if validate:
            self.validate()
        remember_flow(self)

    # Building

    def __enter__(self) -> Flow:
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
        flow: Flow,
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

    def copy(self) -> Flow:
        """Return a flow of the same tasks, to which tasks can be added without changing this one."""
        new = copy.copy(self)
        new._graph = self._graph.copy()
        new._reference_tasks, new._scopes = list(self._reference_tasks), []
        new.state_handlers = list(self.state_handlers)
        return new

    def set_reference_tasks(self, tasks: Iterable[Task]) -> None:
        """Let these tasks decide the state of a run; by default the terminal tasks do."""
        chosen = list(tasks)
        for task in chosen:
            if task not in self._graph:
                raise FlowError(f'Flow "{self.name}" has no task "{task.name}" to be a reference task.')
        self._reference_tasks = chosen

    # Checking and drawing

    def validate(self) -> None:
        """Raise FlowError when the flow cannot run: a cycle, an argument that nothing fills, and the like."""
        from headwater.core.validation import check_flow

        check_flow(self)

    def check_parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all parameters for a run. Raises ParameterError for unknown, missing and wrong ones."""
        return parameter_values(self.name, self.parameters(), given)

    def visualize(
        self,
        flow_state: State | None = None,
        filename: str | None = None,
        format: str | None = None,
        horizontal: bool = False,
    ) -> Any:
        """Draw the graph; with the state of a run, in its colours."""
        from headwater.visualize import visualize

        return visualize(self, flow_state=flow_state, filename=filename, format=format, horizontal=horizontal)

    def serialize(self) -> dict[str, Any]:
        """Return tasks, edges and parameters as JSON values. Raises FlowError when the flow cannot run."""
        from headwater.core.serialize import serialized

        return serialized(self)

    def serialized_hash(self) -> str:
        """Return the SHA-256 of what serialize() returns; it does not change with the code of the tasks."""
        from headwater.core.serialize import serialized_hash

        return serialized_hash(self)

    def save(self, fpath: str | Path | None = None) -> str:
        """Write the flow with its code to a file, by default `<name>.flow` in this folder; return its path."""
        import cloudpickle

        path = Path(fpath) if fpath is not None else Path(f"{self.name.replace('/', '-')}.flow")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cloudpickle.dumps(self))
        return str(path)

    @staticmethod
    def load(fpath: str | Path) -> Flow:
        """Read a flow that was saved. It runs code from the file: load only what you trust."""
        import cloudpickle

        flow = cloudpickle.loads(Path(fpath).read_bytes())
        if not isinstance(flow, Flow):
            raise FlowError(f"{fpath} holds no flow but {type(flow).__name__}; it was not written by flow.save().")
        return flow

    # Running

    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        run_on_schedule: bool | None = None,
        executor: Any = None,
        *,
        context: Mapping[str, Any] | None = None,
        task_states: Mapping[Task, State] | None = None,
        **kwargs: Any,
    ) -> State:
        """Run the flow in this process and return its final state; `state.result` is `{task: State}`.

        Parameters are given as keyword arguments, or as a mapping: those too that are called like an argument here.
        A flow with a schedule is run at each of its times, and this returns when there are no more, unless
        *run_on_schedule* is False. *task_states* are finished states of tasks that need not run again. *context* is
        added to `headwater.context`; its `date` is the day that is meant by today. Raises ParameterError when a
        parameter is missing, unknown or wrong, and FlowError inside the flow's own `with` block.
        """
        from headwater.run import run_flow

        if _building() is self:
            raise FlowError(f'Flow "{self.name}" cannot run inside its own `with` block; call run() after it.')
        return run_flow(
            self,
            {**(parameters or {}), **kwargs},
            executor=executor or self.executor,
            context=context,
            run_on_schedule=run_on_schedule,
            task_states=task_states,
        )

    def register(
        self,
        project_name: str | None = None,
        *,
        image: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        execution: Mapping[str, Any] | None = None,
        set_schedule_active: bool = True,
        pin: bool = True,
        resolve: bool = False,
        force: bool = False,
        timeout_seconds: float = 300.0,
        context: str | None = None,
    ) -> str | None:
        """Put the flow into a cluster, as the Flow resource of its name in the namespace *project_name*.

        Without an *image* the flow's file goes along, and the modules beside it that it imports. *parameters* lie over
        the defaults in the code, *execution* is `spec.execution` (such as `{"workers": 4}`), the flow's schedule
        becomes `spec.schedules`, suspended unless *set_schedule_active*. The image's tag is replaced by its digest
        where its registry tells it and *pin* is set; with *resolve* the cluster looks it up anew. Fields that somebody
        else manages are taken over with *force* only. Without *project_name* the namespace is kubeconfig's own,
        *context* names one of kubeconfig's.

        Waits up to *timeout_seconds*, with 0 not at all, and returns the version's name, such as `etl-v3`; a flow that
        has not changed keeps its version. Raises FlowError and ParameterError for a flow that cannot be registered,
        and ClusterError when the cluster refuses it or its version cannot run.
        """
        from headwater.registering.register import Options, register_flow

        options = Options(
            image=image,
            parameters=parameters or {},
            execution=execution or {},
            active=set_schedule_active,
            pin=pin,
            resolve=resolve,
            force=force,
            seconds=timeout_seconds,
        )
        return register_flow(self, project_name, context, options)


def _building() -> Flow | None:
    flow: Flow | None = context.get("flow")
    return flow


def _what(task: Task, key: str | None) -> str:
    return f'Task "{task.name}": ' + ("a task upstream" if key is None else f'argument "{key}"')


def _each(tasks: Iterable[Any] | None, what: str, task: Task) -> list[Any]:
    if tasks is None:
        return []
    if isinstance(tasks, Task | str):
        raise TypeError(f'Task "{task.name}": {what} is a list of tasks, such as {what}=[{tasks!r}].')
    return list(tasks)
