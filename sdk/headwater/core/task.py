"""Tasks: functions that a flow runs, and what can be said about each of them.

Calling a task inside a flow does not run it: it adds a copy of the task to the flow, bound to
its arguments. `task.run(...)` is the plain function.
"""

from __future__ import annotations

import copy
import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from headwater.core.annotations import input_types, output_type, returned_values
from headwater.core.context import context
from headwater.core.errors import FlowError
from headwater.core.operands import Operand
from headwater.core.options import DEFAULTS, TaskOptions, check_retries, check_retry_options, kept_option
from headwater.core.tags import current_tags

if TYPE_CHECKING:
    from headwater.core.flow_build import FlowBuild

# Arguments of a call that belong to the flow, not to the task's function.
RESERVED_ARGUMENTS = ("upstream_tasks", "flow", "task_args", "mapped")


# A task is copied for every call, its function is not.
_signature = functools.lru_cache(maxsize=4096)(inspect.signature)


class Task(Operand):
    """A step of a flow. Subclass it and define `run`, or decorate a function with `@task`.

    Takes a name and the options of `headwater.core.options.TaskOptions`, which are attributes of the same names and
    may be assigned later. Two tasks of a flow may share a name; their slugs tell them apart.
    """

    name: str
    slug: str | None
    tags: set[str]
    max_retries: int
    retry_delay: timedelta | tuple[timedelta, ...] | Callable[[int], timedelta] | None
    retry_jitter: float | None
    retry_on: tuple[type[BaseException], ...] | None
    retry_condition: Callable[[Any, Any], bool] | None
    timeout: float | None
    trigger: Callable[[Any], bool]
    skip_on_upstream_skip: bool
    cache_for: timedelta | None
    cache_validator: Callable[..., bool] | None
    cache_key: str | None
    checkpoint: bool | None
    state_handlers: list[Callable[..., Any]]
    on_failure: Callable[..., Any] | None
    log_stdout: bool
    result: Any
    target: Any
    task_run_name: str | Callable[..., str] | None
    nout: int | None
    auto_generated: bool
    idempotent: bool

    # Tasks of a resource manager, and the last of them, which no run is judged by.
    is_resource_task: bool = False
    is_cleanup_task: bool = False

    # Runs in a thread of the engine's process, in every executor: it waits for something else and does no work itself.
    beside_engine: bool = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Task):
                warnings.warn(
                    f'Task "{value.name}" is given to the constructor of {cls.__name__}, which sees no results; '
                    f"hand it over in the call: {cls.__name__}(...)(...).",
                    UserWarning,
                    stacklevel=2,
                )
        return super().__new__(cls)

    def __init__(self, name: str | None = None, **options: Unpack[TaskOptions]) -> None:
        self.name = name or type(self).__name__
        if not all(character.isprintable() for character in self.name):
            raise FlowError(
                f"A task is called {self.name!r}; a name stands in logs and tables and has no line breaks or "
                "control characters."
            )
        unknown = sorted(set(options) - set(TaskOptions.__annotations__))
        if unknown:
            raise TypeError(f"{self._who()} is given {', '.join(unknown)}; a task has no such option.")
        vars(self).update(DEFAULTS)
        self.tags, self.state_handlers = set(), []
        for option, value in options.items():
            setattr(self, option, value)
        self.tags |= current_tags()
        check_retry_options(self._who(), options)
        self._check_signature()
        if self.nout is None:
            self.nout = returned_values(self.run)
        made = context.get("made_tasks")
        if made is not None:
            made[self] = None  # the flow that is being built warns when it was forgotten

    def __setattr__(self, attribute: str, value: Any) -> None:
        object.__setattr__(self, attribute, kept_option(self._who(), attribute, value))
        if attribute == "name":
            self.logger = logging.getLogger(f"headwater.{self.name}")

    def _who(self) -> str:
        return f'Task "{vars(self).get("name", type(self).__name__)}"'

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What the task does. A subclass defines it with its own arguments."""
        raise NotImplementedError(f'Task "{self.name}" defines no run(); define it, or decorate a function with @task.')

    def signature(self) -> inspect.Signature:
        """The arguments that a call of this task takes."""
        function = getattr(self.run, "__func__", None)
        if function is None:
            return _signature(self.run)
        return _method_signature(function)

    def inputs(self) -> dict[str, dict[str, Any]]:
        """Return `{argument: {"required": bool, "type": annotation}}`."""
        return input_types(self.run, self.signature())

    def outputs(self) -> Any:
        """Return the annotation of what the task returns, Any without one."""
        return output_type(self.run)

    def _check_signature(self) -> None:
        if getattr(self.run, "__func__", None) is Task.run:
            return  # an abstract task: a subclass will define run
        if inspect.isasyncgenfunction(self.run):
            raise FlowError(f"{self._who()} is an async generator; return a list, so that a result can be handed on.")
        for parameter in self.signature().parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise FlowError(
                    f"{self._who()} takes *{parameter.name}; a task's arguments must have names, "
                    "so that the flow can say which result goes where."
                )
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise FlowError(f'{self._who()}: argument "{parameter.name}" is positional-only; give it a name.')
            if parameter.name in RESERVED_ARGUMENTS:
                raise FlowError(
                    f'{self._who()} has an argument "{parameter.name}"; that name is reserved, choose another.'
                )

    def copy(self, **task_args: Any) -> Self:
        """Return a copy with some attributes replaced, such as `name` or `max_retries`."""
        new = copy.copy(self)
        new.tags, new.state_handlers = self.tags | current_tags(), list(self.state_handlers)
        for name, value in task_args.items():
            if not hasattr(new, name):
                raise AttributeError(f'Task "{self.name}" has no attribute "{name}" to set by task_args.')
            setattr(new, name, value)
        if "max_retries" in task_args:
            check_retries(new._who(), new.max_retries, new.retry_delay)
        made = context.get("made_tasks")
        if made is not None:
            made.pop(self, None)  # it was used
        return new

    def __call__(
        self,
        *args: Any,
        mapped: bool = False,
        upstream_tasks: Iterable[Any] | None = None,
        flow: FlowBuild | None = None,
        task_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Task:
        """Add a copy of this task to the flow, bound to these arguments.

        Arguments that are tasks, or hold tasks in lists, tuples, sets and dicts, are replaced by their results when
        the flow runs. *upstream_tasks* run before it without handing it anything.
        Raises FlowError outside a flow and TypeError when the arguments do not fit.
        """
        target = self._flow(flow)
        new = self.copy(**(task_args or {}))
        return new.bind(*args, mapped=mapped, upstream_tasks=upstream_tasks, flow=target, **kwargs)

    def map(
        self,
        *args: Any,
        upstream_tasks: Iterable[Any] | None = None,
        flow: FlowBuild | None = None,
        task_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Task:
        """Add a copy of this task that runs once per item of its arguments, and returns the list of the results.

        The shortest argument decides how often. What is not meant item by item is marked: `unmapped(x)`.
        """
        return self(*args, mapped=True, upstream_tasks=upstream_tasks, flow=flow, task_args=task_args, **kwargs)

    def bind(
        self,
        *args: Any,
        mapped: bool = False,
        upstream_tasks: Iterable[Any] | None = None,
        flow: FlowBuild | None = None,
        **kwargs: Any,
    ) -> Self:
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
        target.set_dependencies(self, upstream_tasks=upstream_tasks, keyword_tasks=arguments, mapped=mapped)
        return self

    def pipe(self, other: Task, **kwargs: Any) -> Task:
        """Call *other* with this task as its first argument, so that calls read from left to right."""
        return other(self, **kwargs)

    def set_upstream(
        self, task: object, flow: FlowBuild | None = None, key: str | None = None, mapped: bool = False
    ) -> None:
        """Run *task* before this one; with a *key*, hand its result over as that argument."""
        self._flow(flow).add_edge(task, self, key=key, mapped=mapped)

    def set_downstream(
        self, task: Task, flow: FlowBuild | None = None, key: str | None = None, mapped: bool = False
    ) -> None:
        """Run *task* after this one; with a *key*, hand it this task's result as that argument."""
        self._flow(flow).add_edge(self, task, key=key, mapped=mapped)

    def set_dependencies(
        self,
        flow: FlowBuild | None = None,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        mapped: bool = False,
        validate: bool | None = None,
    ) -> None:
        """Say what this task waits for, what waits for it, and what its arguments are."""
        self._flow(flow).set_dependencies(self, upstream_tasks, downstream_tasks, keyword_tasks, mapped, validate)

    def _flow(self, flow: FlowBuild | None) -> FlowBuild:
        found = flow or context.get("flow")
        if found is None:
            raise FlowError(
                f'Task "{self.name}" was called outside a flow; use it in a `with Flow(...)` block, '
                f"or call {self.name}.run(...) to run its function now."
            )
        return found

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f'<Task "{self.name}">'


class FunctionTask(Task):
    """A task made from a function by `@task`."""

    def __init__(self, function: Callable[..., Any], name: str | None = None, **options: Unpack[TaskOptions]) -> None:
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
def task(
    function: None = None, *, name: str | None = None, **options: Unpack[TaskOptions]
) -> Callable[[Callable[..., Any]], FunctionTask]: ...
def task(
    function: Callable[..., Any] | None = None, *, name: str | None = None, **options: Unpack[TaskOptions]
) -> FunctionTask | Callable[[Callable[..., Any]], FunctionTask]:
    """Make a task from a function: `@task`, or `@task(name=..., max_retries=2, retry_delay=timedelta(seconds=10))`.

    Takes what Task takes. Unknown options raise TypeError.
    """
    if function is not None:
        return FunctionTask(function, name, **options)
    return lambda decorated: FunctionTask(decorated, name, **options)


@functools.lru_cache(maxsize=4096)
def _method_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return a method's signature without `self`, once for all instances."""
    full = inspect.signature(function)
    return full.replace(parameters=list(full.parameters.values())[1:])
