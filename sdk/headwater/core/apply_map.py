"""`apply_map(func, xs)`: map over a function that adds tasks, as `task.map(xs)` maps over one task.

The function is called once, with stand-ins for its arguments, in a flow of its own. Its tasks are then added to the
real flow, each mapped over what it depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headwater.core.collections import Constant, gather_tasks
from headwater.core.control_flow import building_flow
from headwater.core.errors import FlowError
from headwater.core.flow import Flow
from headwater.core.graph import Edge
from headwater.core.mapping import Argument, check_mappable, flatten, read_argument
from headwater.core.parameter import Parameter
from headwater.core.task import Task


class StandIn(Task):
    """Stands for an argument while the function is called."""

    def __init__(self, argument: Argument, nout: int | None) -> None:
        value = argument.value
        super().__init__(value.name if isinstance(value, Task) else "Constant", auto_generated=True, nout=nout)
        self.argument = argument

    def run(self) -> None:
        raise NotImplementedError("a stand-in is in no flow that runs")


class ScratchFlow(Flow):
    """Where the function is called. What it did not make itself belongs to none of its blocks."""

    def __init__(self, target: Flow) -> None:
        super().__init__(target.name)
        self._target = target

    def _tell_blocks(self, task: Task) -> None:
        if not isinstance(task, StandIn) and task not in self._target:
            super()._tell_blocks(task)


def apply_map(func: Callable[..., Any], *args: Any, flow: Flow | None = None, **kwargs: Any) -> Any:
    """Call *func* in the flow so that its tasks run once per item of the arguments; return what it returns.

    Arguments are mapped over unless they are marked `unmapped(x)`. The function may use `case`, `merge` and resource
    managers, but not `.map`. Raises FlowError outside a flow, and where nothing or something twice is mapped.
    """
    target = flow or building_flow("apply_map")
    name = getattr(func, "__name__", repr(func))
    if not callable(func):
        raise TypeError(f"apply_map maps over a function that adds tasks; {func!r} is none.")
    positional = [_stand_in(f"apply_map({name}): argument {i}", given, target) for i, given in enumerate(args, 1)]
    named = {key: _stand_in(f'apply_map({name}): argument "{key}"', given, target) for key, given in kwargs.items()}
    mapped = [found for found in (*positional, *named.values()) if found.argument.mapped]
    if not mapped:
        raise FlowError(f"apply_map({name}) is mapped over nothing; give it an argument that is not unmapped().")
    scratch = ScratchFlow(target)
    with scratch:
        returned = func(*positional, **named)
    _Transfer(name, scratch, target).add(mapped)
    return _real(returned)


def _stand_in(who: str, given: Any, flow: Flow) -> StandIn:
    argument = read_argument(given, who, mapped_unless_told=True)
    value = gather_tasks(argument.value, flow)
    if not isinstance(value, Task):
        if argument.mapped:
            check_mappable(value, who)
        if argument.mapped or argument.flattened:
            value = Constant(value)
    # What a task returns is an item here when that task is mapped itself.
    is_whole = isinstance(value, Task) and flow.is_mapped(value) == argument.mapped and not argument.flattened
    return StandIn(Argument(value, argument.mapped, argument.flattened), value.nout if is_whole else None)


class _Transfer:
    """Brings the tasks of the function's own flow into the real one."""

    def __init__(self, name: str, scratch: Flow, target: Flow) -> None:
        self._name = name
        self._scratch = scratch
        self._target = target
        # Tasks that the function did not make but knew are what they were.
        self._added = [task for task in scratch.tasks if not isinstance(task, StandIn) and task not in target]
        self._mapped = {task for task in self._added if not isinstance(task, Parameter)}

    def add(self, mapped: list[StandIn]) -> None:
        for edge in self._scratch.edges:
            self._check(edge)
        for task in self._added:
            self._target.add_task(task)
        for task, constants in self._scratch.constants.items():
            self._target.set_dependencies(task, keyword_tasks=constants)
        for edge in self._scratch.edges:
            self._add_edge(edge)
        for task in self._added:
            if task in self._mapped and not self._target.is_mapped(task):
                # It depends on no item, but runs once for each all the same.
                for found in mapped:
                    self._target.add_edge(found.argument.value, task, None, True, found.argument.flattened)

    def _check(self, edge: Edge) -> None:
        if edge.mapped:
            raise FlowError(
                f'apply_map({self._name}): task "{edge.downstream.name}" is mapped inside the function, which is '
                "mapped itself; a map in a map is not possible. Call the task, or flatten() the lists before."
            )
        if isinstance(edge.downstream, StandIn):
            raise FlowError(
                f'apply_map({self._name}): its argument "{edge.downstream.name}" cannot '
                f'run after "{edge.upstream.name}", which is made of it.'
            )
        up = edge.upstream
        if edge.flattened and (self._is_item(up) or (isinstance(up, StandIn) and up.argument.flattened)):
            raise FlowError(
                f"apply_map({self._name}): flatten({edge.upstream.name}) stands inside the function; "
                "mark the argument of apply_map, or flatten in a task."
            )

    def _is_item(self, task: Task) -> bool:
        return task.argument.mapped if isinstance(task, StandIn) else task in self._mapped

    def _add_edge(self, edge: Edge) -> None:
        up, task = edge.upstream, edge.downstream
        mapped = self._is_item(up) and task in self._mapped
        if not isinstance(up, StandIn):
            self._target.add_edge(up, task, edge.key, mapped, edge.flattened)
            return
        argument = up.argument
        if isinstance(argument.value, Task):
            self._target.add_edge(argument.value, task, edge.key, mapped, argument.flattened or edge.flattened)
        elif edge.key is not None:
            self._target.set_dependencies(task, keyword_tasks={edge.key: _flattened(argument.value, edge)})


def _flattened(value: Any, edge: Edge) -> Any:
    return flatten(value) if edge.flattened else value


def _real(returned: Any) -> Any:
    """Put the arguments where the function returned their stand-ins."""
    if isinstance(returned, StandIn):
        argument = returned.argument
        return flatten(argument.value) if argument.flattened else argument.value
    if isinstance(returned, list):
        return [_real(item) for item in returned]
    if isinstance(returned, tuple):
        items = [_real(item) for item in returned]
        return type(returned)(*items) if hasattr(returned, "_fields") else tuple(items)
    if isinstance(returned, dict):
        return {key: _real(item) for key, item in returned.items()}
    return returned
