"""The options of a task: what each may be, and in which form a task keeps it.

An option is checked wherever it is given: in `@task(...)`, in a constructor, in `task_args` and when it is assigned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

from headwater.core import triggers
from headwater.core.errors import FlowError
from headwater.core.tags import tag_set


class TaskOptions(TypedDict, total=False):
    """What a task may be given beside its name.

    slug                   its id in the flow, in place of `<name>-<n>`
    tags                   words by which it is found
    max_retries            how many runs follow a failed one
    retry_delay            the time before each of them; a list, or a function of the attempt (1, 2, ...), for a backoff
    retry_jitter           share of the delay, 0 to 1, by which it may be longer
    retry_on               exception types that are worth another run; all, without it
    retry_condition        f(task, exception) -> whether another run is worth it
    timeout                how long a run may take, in seconds or as a timedelta
    trigger                {edge: state} -> may it run, see headwater.triggers
    skip_on_upstream_skip  skip it when something it waits for was skipped
    cache_for, cache_validator, cache_key     how long its result stands for that of later runs, and for which
    checkpoint, result, target                whether and where its result is stored
    state_handlers         f(task, old, new) -> state or None, at every change of state
    on_failure             f(task, state), when it fails
    log_stdout             log what it prints
    task_run_name          the name of a run: a template such as "{airport}-{today}", or f(**values)
    nout                   how many values it returns, to unpack: `a, b = split(x)`
    auto_generated         made by Headwater, not written in the flow
    idempotent             may run a second time when it is not known whether the first run did its work
    """

    slug: str | None
    tags: Iterable[str] | None
    max_retries: int | None
    retry_delay: timedelta | Sequence[timedelta] | Callable[[int], timedelta] | None
    retry_jitter: float | None
    retry_on: type[BaseException] | Iterable[type[BaseException]] | None
    retry_condition: Callable[[Any, Any], bool] | None
    timeout: float | timedelta | None
    trigger: Callable[[Any], bool] | None
    skip_on_upstream_skip: bool
    cache_for: timedelta | None
    cache_validator: Callable[..., bool] | None
    cache_key: str | None
    checkpoint: bool | None
    state_handlers: Sequence[Callable[..., Any]] | None
    on_failure: Callable[..., Any] | None
    log_stdout: bool
    result: Any
    target: Any
    task_run_name: str | Callable[..., str] | None
    nout: int | None
    auto_generated: bool
    idempotent: bool


# What a task keeps for each option that it is not given. Sets and lists are made anew for each task.
DEFAULTS: Mapping[str, Any] = {
    "slug": None,
    "max_retries": 0,
    "retry_delay": None,
    "retry_jitter": None,
    "retry_on": None,
    "retry_condition": None,
    "timeout": None,
    "trigger": triggers.all_successful,
    "skip_on_upstream_skip": True,
    "cache_for": None,
    "cache_validator": None,
    "cache_key": None,
    "checkpoint": None,
    "on_failure": None,
    "log_stdout": False,
    "result": None,
    "target": None,
    "task_run_name": None,
    "nout": None,
    "auto_generated": False,
    "idempotent": False,
}


def kept_option(who: str, option: str, value: Any) -> Any:
    """Return the form in which a task keeps an option. Raises TypeError or FlowError when it cannot be one."""
    check = _CHECKS.get(option)
    return value if check is None else check(f"{who}: {option}", value)


def check_retries(who: str, max_retries: int, retry_delay: Any) -> None:
    """Raise FlowError for retries without a delay between them."""
    if max_retries and retry_delay is None:
        raise FlowError(
            f"{who} has max_retries={max_retries} but no retry_delay; "
            "give one, such as retry_delay=timedelta(seconds=10)."
        )


def check_retry_options(who: str, given: Mapping[str, Any]) -> None:
    """Raise FlowError for options that do nothing without max_retries, and for retries without a delay."""
    max_retries = given.get("max_retries")
    check_retries(who, max_retries or 0, given.get("retry_delay"))
    if max_retries:
        return
    for option in ("retry_delay", "retry_jitter", "retry_on", "retry_condition"):
        if given.get(option) is not None:
            raise FlowError(f"{who} has a {option} but no max_retries; give both or neither.")


# The checks. Each gets who is asking, as in `Task "load": timeout`, and returns what is kept.


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} is {value!r}; give a text.")
    return value


def _text(what: str, value: Any) -> str | None:
    return None if value is None else _name(what, value)


def _tags(what: str, value: Any) -> set[str]:
    return tag_set(() if value is None else value, what.rpartition(":")[0])


def _flag(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{what} is {value!r}; give True or False.")
    return value


def _flag_or_none(what: str, value: Any) -> bool | None:
    return None if value is None else _flag(what, value)


def _count(what: str, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is {value!r}; give a whole number.")
    if value < 0:
        raise FlowError(f"{what} is {value}; give 0 or more.")
    return value


def _count_or_none(what: str, value: Any) -> int | None:
    return None if value is None else _count(what, value)


def _share(what: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is {value!r}; give a number from 0 to 1.")
    if not 0 <= value <= 1:
        raise FlowError(f"{what} is {value}; give a number from 0 to 1.")
    return float(value)


def _span(what: str, value: Any) -> timedelta | None:
    if value is not None and not isinstance(value, timedelta):
        raise TypeError(f"{what} is {value!r}; give a timedelta, such as timedelta(seconds=10).")
    if value is not None and value < timedelta(0):
        raise FlowError(f"{what} is negative; give zero or more.")
    return value


def _delay(what: str, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value if callable(value) else _span(what, value)
    if not value or None in value:
        raise FlowError(f"{what} is {value!r}; give a timedelta per attempt, of which the last holds for the rest.")
    return tuple(_span(what, span) for span in value)


def _seconds(what: str, value: Any) -> float | None:
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{what} is {value!r}; give seconds or a timedelta.")
    if not seconds > 0:
        raise FlowError(f"{what} is {value!r}; give more than zero seconds.")
    return float(seconds)


def _errors(what: str, value: Any) -> tuple[type[BaseException], ...] | None:
    if value is None:
        return None
    kinds = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise TypeError(f"{what} holds {kind!r}; give exception types, such as (OSError, TimeoutError).")
    return kinds or None


def _function(what: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{what} is {value!r}; give a function.")
    return value


def _trigger(what: str, value: Any) -> Any:
    return triggers.all_successful if value is None else _function(what, value)


def handlers(what: str, value: Any) -> list[Callable[..., Any]]:
    """Return functions as a list. Raises TypeError for anything else, a single function too."""
    if value is None:
        return []
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{what} is {value!r}; give a list of functions.")
    return [_function(f"an item of {what}", handler) for handler in value]


def _template(what: str, value: Any) -> Any:
    if value is not None and not isinstance(value, str) and not callable(value):
        raise TypeError(f"{what} is {value!r}; give a text such as '{{x}}-{{today}}', or a function.")
    return value


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "slug": _text,
    "tags": _tags,
    "max_retries": _count,
    "retry_delay": _delay,
    "retry_jitter": _share,
    "retry_on": _errors,
    "retry_condition": _function,
    "timeout": _seconds,
    "trigger": _trigger,
    "skip_on_upstream_skip": _flag,
    "cache_for": _span,
    "cache_validator": _function,
    "cache_key": _text,
    "checkpoint": _flag_or_none,
    "state_handlers": handlers,
    "on_failure": _function,
    "log_stdout": _flag,
    "task_run_name": _template,
    "nout": _count_or_none,
    "auto_generated": _flag,
    "idempotent": _flag,
}
