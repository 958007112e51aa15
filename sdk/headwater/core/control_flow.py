"""Branches of a flow: `case`, `switch`, `ifelse`, and `merge`, which brings them together again.

    sky = weather()
    with case(sky, "fog"):
        a = wait()
    with case(sky, "sun"):
        b = fly()
    report(merge(a, b))

The tasks of a branch that is not taken are skipped. All branches are part of the graph before the flow runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from headwater.core import triggers
from headwater.core.collections import as_task
from headwater.core.context import context
from headwater.core.errors import FlowError
from headwater.core.operators import shortened
from headwater.core.parameter import Parameter
from headwater.core.signals import SKIP
from headwater.core.states import State
from headwater.core.task import Task

if TYPE_CHECKING:
    from headwater.core.flow import Flow


class CompareValue(Task):
    """Skips what waits for it, unless the value that it is given equals *value*."""

    def __init__(self, value: Any, name: str | None = None, **options: Any) -> None:
        super().__init__(name or shortened(f"case({value!r})"), **options)
        self.value = value

    def run(self, value: Any) -> None:
        if value != self.value:
            raise SKIP(f"The branch is for {self.value!r}, but the value is {value!r}.")


class AsBool(Task):
    """Tells whether a value counts as true."""

    def run(self, value: Any) -> bool:
        return bool(value)


class Merge(Task):
    """Returns the first of its values that is not None; skipped when everything upstream was."""

    def __init__(self, name: str = "Merge", **options: Any) -> None:
        defaults = {"skip_on_upstream_skip": False, "trigger": triggers.not_all_skipped}
        super().__init__(name, **{**defaults, **options})

    def run(self, **values: Any) -> Any:
        in_order = (values[key] for key in sorted(values, key=lambda key: int(key.removeprefix("task_"))))
        return next((value for value in in_order if value is not None), None)


class InBranch:
    """The trigger of a task that is not skipped with what is upstream, yet belongs to a branch."""

    def __init__(self, trigger: triggers.Trigger, comparison: str) -> None:
        self.trigger = trigger
        self.comparison = comparison
        self.__name__ = getattr(trigger, "__name__", str(trigger))

    def __call__(self, upstream_states: Mapping[Any, State]) -> bool:
        others = {}
        for edge, state in upstream_states.items():
            if edge.key is not None or edge.upstream.name != self.comparison:
                others[edge] = state
            elif state.is_skipped():
                raise SKIP("Its branch is not taken.")
        return self.trigger(others)


class case:  # noqa: N801  # it is written like a statement
    """The tasks that are made in this block run when the result of *task* equals *value*, else they are skipped.

    Those of them that wait for nothing in the block wait for the comparison. Blocks may stand in each other.
    """

    def __init__(self, task: Task, value: Any) -> None:
        if not isinstance(task, Task):
            raise TypeError(f"case(task, value) looks at the result of a task; {task!r} is none, so `if` can decide.")
        if isinstance(value, Task):
            raise TypeError(
                f'case(task, value) compares with a value; "{value.name}" is a task: '
                f"write case({task.name}.is_equal({value.name}), True)."
            )
        self.task = task
        self.value = value
        self._made: dict[Task, None] = {}
        self._scopes: list[Any] = []

    def __enter__(self) -> None:
        building_flow("case")
        scope = context(blocks=(*context.get("blocks", ()), self))
        scope.__enter__()
        self._scopes.append(scope)

    def note_task(self, task: Task) -> None:
        """Take notice of a task that the flow got while this block is open."""
        self._made[task] = None

    def __exit__(self, *exception: Any) -> None:
        self._scopes.pop().__exit__(*exception)
        made, self._made = self._made, {}
        if exception[0] is not None:
            return
        flow = building_flow("case")
        first = _first_of(made, flow)
        if not first:
            return
        comparison = CompareValue(self.value).bind(self.task, flow=flow)
        for task in first:
            task.set_upstream(comparison, flow=flow)
            if not task.skip_on_upstream_skip:
                task.trigger = InBranch(task.trigger, comparison.name)


def _first_of(made: Iterable[Task], flow: Flow) -> list[Task]:
    """Return the tasks of a block that wait for nothing in it, other than for collections of what is outside."""
    members = set(made)
    first: dict[Task, None] = {}
    # Collections are made from the inside out, so that what they hold was looked at before.
    for task in sorted(made, key=lambda task: not task.auto_generated):
        waits = any(up in members and not (up in first and up.auto_generated) for up in flow.upstream_tasks(task))
        if not waits and not isinstance(task, Parameter):
            first[task] = None
    return [task for task in made if task in first]


def switch(condition: Task, cases: Mapping[Any, Any], mapped: bool = False) -> None:
    """Run of *cases*, `{value: task}`, those whose value equals the result of *condition*; skip the others.

    Only the tasks themselves are skipped, not what they wait for; `case` holds whole branches. With *mapped*, the
    condition is mapped, and so are the tasks: each item takes its own branch.
    """
    flow = building_flow("switch")
    if isinstance(cases, Task) or not isinstance(cases, Mapping) or not cases:
        raise TypeError(f"switch(condition, cases) takes a dict of values and tasks, {{value: task}}; got {cases!r}.")
    for value, given in cases.items():
        if isinstance(value, Task):
            raise TypeError(f'switch compares with values; "{value.name}" is a task. Use case(a.is_equal(b), True).')
        task = as_task(given, flow)
        comparison = CompareValue(value).bind(condition, mapped=mapped, flow=flow)
        flow.set_dependencies(task, upstream_tasks=[comparison], mapped=mapped)


def ifelse(condition: Task, true_task: Any = None, false_task: Any = None, mapped: bool = False) -> None:
    """Run one of two tasks: the first when the result of *condition* counts as true. None stands for nothing to do."""
    flow = building_flow("ifelse")
    cases = {value: task for value, task in ((True, true_task), (False, false_task)) if task is not None}
    if not cases:
        raise TypeError("ifelse has neither a task for true nor one for false; give at least one.")
    switch(AsBool().bind(condition, mapped=mapped, flow=flow), cases, mapped=mapped)


def merge(*tasks: Any, flow: Flow | None = None, mapped: bool = False, checkpoint: bool | None = None) -> Task:
    """Bring branches together: the result is that of the first task, as they are given, that was not skipped.

    To be exact, the first that is not None. Skipped when all tasks were.
    """
    target = flow or building_flow("merge")
    if not tasks:
        raise TypeError("merge() was given no tasks; give the last task of each branch.")
    values = {f"task_{number}": task for number, task in enumerate(tasks, 1)}
    return Merge(checkpoint=checkpoint).bind(**values, mapped=mapped, flow=target)


class FilterTask(Task):
    """Takes items out of a list: by default None and exceptions, as the skipped and the failed children of a map leave.

        load(FilterTask(filter_func=lambda row: row["ok"])(rows))

    It runs whatever became of what is upstream. *log_func* makes the words that are logged for an item left out.
    """

    def __init__(
        self,
        filter_func: Callable[[Any], Any] | None = None,
        log_func: Callable[[Any], Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        for what, function in (("filter_func", filter_func), ("log_func", log_func)):
            if function is not None and not callable(function):
                raise TypeError(f"FilterTask: {what} is {function!r}; give a function of an item.")
        defaults = {"skip_on_upstream_skip": False, "trigger": triggers.all_finished}
        super().__init__(name, **{**defaults, **options})
        self.filter_func = filter_func or is_result
        self.log_func = log_func

    def run(self, task_results: list[Any]) -> list[Any]:
        kept = []
        for item in task_results:
            if self.filter_func(item):
                kept.append(item)
            elif self.log_func is not None:
                self.logger.info("%s", self.log_func(item))
        return kept


def is_result(item: Any) -> bool:
    """Whether an item is neither None nor an exception."""
    return item is not None and not isinstance(item, BaseException)


def building_flow(what: str) -> Flow:
    """Return the flow whose block is open. Raises FlowError when there is none."""
    flow: Flow | None = context.get("flow")
    if flow is None:
        raise FlowError(f"{what} was used outside a flow; use it in a `with Flow(...)` block.")
    return flow


__all__ = ["AsBool", "CompareValue", "FilterTask", "Merge", "case", "ifelse", "merge", "switch"]
