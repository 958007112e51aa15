"""Tasks: functions that a flow runs, and what can be said about each of them.

Calling a task inside a flow does not run it: it adds a copy of the task to the flow, bound to
its arguments. `task.run(...)` is the plain function.
"""

from __future__ import annotations

import copy
import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, overload

from headwater.core.context import context
from headwater.core.errors import FlowError

if TYPE_CHECKING:
    from headwater.core.flow import Flow

# Arguments of a call that belong to the flow, not to the task's function.
RESERVED_ARGUMENTS = ("upstream_tasks", "flow", "task_args", "mapped")


# A task is copied for every call, its function is not.
_signature = functools.lru_cache(maxsize=4096)(inspect.signature)


class Task:
    """A step of a flow. Subclass it and define `run`, or decorate a function with `@task`.

    *max_retries* runs follow a failed one, each after *retry_delay*. Two tasks of a flow may
    share a name; their slugs tell them apart.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        slug: str | None = None,
        max_retries: int = 0,
        retry_delay: timedelta | None = None,
    ) -> None:
        self.name = name or type(self).__name__
        self.slug = slug
        if max_retries < 0:
            raise FlowError(f'Task "{self.name}": max_retries is {max_retries}; give 0 or more.')
        if max_retries and retry_delay is None:
            raise FlowError(
                f'Task "{self.name}" has max_retries={max_retries} but no retry_delay; '
                "give one, such as retry_delay=timedelta(seconds=10)."
            )
        if retry_delay is not None and not max_retries:
            raise FlowError(f'Task "{self.name}" has a retry_delay but no max_retries; give both or neither.')
        if retry_delay is not None and retry_delay < timedelta(0):
            raise FlowError(f'Task "{self.name}": retry_delay is negative; give zero or more.')
        self.max_retries = max_retries
        self.retry_delay = retry_delay
        self.logger = logging.getLogger(f"headwater.{self.name}")
        self._check_signature()

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What the task does. A subclass defines it with its own arguments."""
        raise NotImplementedError(f'Task "{self.name}" defines no run(); define it, or decorate a function with @task.')

    def signature(self) -> inspect.Signature:
        """The arguments that a call of this task takes."""
        return _signature(self.run)

    def _check_signature(self) -> None:
        if getattr(self.run, "__func__", None) is Task.run:
            return  # an abstract task: a subclass will define run
        if inspect.iscoroutinefunction(self.run):
            raise FlowError(
                f'Task "{self.name}" is an async function; these are not supported yet: '
                "make it a plain function that calls asyncio.run(...)."
            )
        for parameter in self.signature().parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise FlowError(
                    f'Task "{self.name}" takes *{parameter.name}; a task\'s arguments must have names, '
                    "so that the flow can say which result goes where."
                )
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise FlowError(f'Task "{self.name}": argument "{parameter.name}" is positional-only; give it a name.')
            if parameter.name in RESERVED_ARGUMENTS:
                raise FlowError(
                    f'Task "{self.name}" has an argument "{parameter.name}"; that name is reserved, choose another.'
                )

    def copy(self, **task_args: Any) -> Task:
        """Return a copy with some attributes replaced, such as `name` or `max_retries`."""
        new = copy.copy(self)
        for name, value in task_args.items():
            if name not in vars(new):
                raise AttributeError(f'Task "{self.name}" has no attribute "{name}" to set by task_args.')
            setattr(new, name, value)
        return new

    def __call__(
        self,
        *args: Any,
        upstream_tasks: Iterable[Any] | None = None,
        flow: Flow | None = None,
        task_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Task:
        """Add a copy of this task to the flow, bound to these arguments.

        Arguments that are tasks are replaced by their results when the flow runs.
        *upstream_tasks* run before it without handing it anything.
        Raises FlowError outside a flow and TypeError when the arguments do not fit.
        """
        target = self._flow(flow)
        new = self.copy(**(task_args or {}))
        new.bind(*args, upstream_tasks=upstream_tasks, flow=target, **kwargs)
        return new

    def bind(
        self, *args: Any, upstream_tasks: Iterable[Any] | None = None, flow: Flow | None = None, **kwargs: Any
    ) -> Task:
        """Add this very task, not a copy, to the flow, bound to these arguments."""
        target = self._flow(flow)
        try:
            bound = self.signature().bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f'Task "{self.name}" called with arguments that do not fit: {error}') from None
        arguments = dict(bound.arguments)
        for parameter in self.signature().parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name, {}))
        target.set_dependencies(self, upstream_tasks=upstream_tasks, keyword_tasks=arguments)
        return self

    def set_upstream(self, task: Task, flow: Flow | None = None, key: str | None = None) -> None:
        """Run *task* before this one; with a *key*, hand its result over as that argument."""
        self._flow(flow).add_edge(task, self, key=key)

    def set_downstream(self, task: Task, flow: Flow | None = None, key: str | None = None) -> None:
        """Run *task* after this one; with a *key*, hand it this task's result as that argument."""
        self._flow(flow).add_edge(self, task, key=key)

    def _flow(self, flow: Flow | None) -> Flow:
        found = flow or context.get("flow")
        if found is None:
            raise FlowError(
                f'Task "{self.name}" was called outside a flow; use it in a `with Flow(...)` block, '
                f"or call {self.name}.run(...) to run its function now."
            )
        return found

    def __iter__(self) -> Any:
        raise TypeError(f'Task "{self.name}" is not iterable: its result is not known before the flow runs.')

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f'<Task "{self.name}">'


class FunctionTask(Task):
    """A task made from a function by `@task`."""

    def __init__(self, function: Callable[..., Any], name: str | None = None, **options: Any) -> None:
        if not callable(function):
            raise TypeError(f"@task decorates a function; {function!r} is none.")
        self.run = function  # type: ignore[method-assign]  # the function is what this task runs
        try:
            inspect.signature(function)
        except (TypeError, ValueError):
            raise FlowError(
                f"The arguments of {function!r} cannot be inspected; wrap it in a function of your own."
            ) from None
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        super().__init__(name or getattr(function, "__name__", type(function).__name__), **options)


@overload
def task(function: Callable[..., Any]) -> FunctionTask: ...
@overload
def task(function: None = None, **options: Any) -> Callable[[Callable[..., Any]], FunctionTask]: ...
def task(
    function: Callable[..., Any] | None = None, **options: Any
) -> FunctionTask | Callable[[Callable[..., Any]], FunctionTask]:
    """Make a task from a function: `@task`, or `@task(name=..., max_retries=2, retry_delay=timedelta(seconds=10))`.

    Takes what Task takes. Unknown options raise TypeError.
    """
    if function is not None:
        return FunctionTask(function, **options)
    return lambda decorated: FunctionTask(decorated, **options)
