"""Flows: named graphs of tasks, built by calling tasks inside a `with Flow(...)` block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from headwater.core.context import context
from headwater.core.errors import FlowError
from headwater.core.flow_build import FlowBuild
from headwater.core.flow_runs import remember_flow
from headwater.core.graph import Edge
from headwater.core.options import handlers
from headwater.core.parameter import parameter_values
from headwater.core.states import State
from headwater.core.task import Task


class Flow(FlowBuild):
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
        for task in tasks or ():
            self.add_task(task)
        for edge in edges or ():
            self.add_edge(edge.upstream, edge.downstream, edge.key, edge.mapped, edge.flattened)
        if reference_tasks is not None:
            self.set_reference_tasks(reference_tasks)
        if validate:
            self.validate()
        remember_flow(self)

    def copy(self) -> Self:
        """Return a flow of the same tasks, to which tasks can be added without changing this one."""
        new = super().copy()
        new.state_handlers = list(self.state_handlers)
        return new

    # Checking, drawing and keeping

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
        entrypoint: str | None = None,
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

        Without an *image* the flow's file goes along, and the modules beside it that it imports. With one,
        *entrypoint* (`flows/etl.py:flow`, `pkg.etl:flow`) says where in it the flow is, unless its file is at the top
        of the working directory. *parameters* lie over the defaults in the code, *execution* is `spec.execution` (such
        as `{"workers": 4}`), the flow's schedule becomes `spec.schedules`, suspended unless *set_schedule_active*. The
        image's tag is replaced by the digest that its registry tells when *pin* is set; with *resolve* the cluster
        looks it up anew. Fields that somebody else manages are taken over with *force* only. Without *project_name* the
        namespace is kubeconfig's own, *context* names one of kubeconfig's.

        Waits up to *timeout_seconds*, with 0 not at all, and returns the version's name, such as `etl-v3`; a flow that
        has not changed keeps its version. Raises FlowError and ParameterError for a flow that cannot be registered,
        and ClusterError when the cluster refuses it or its version cannot run.
        """
        from headwater.registering.register import Options, register_flow

        options = Options(
            image=image,
            entrypoint=entrypoint,
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
