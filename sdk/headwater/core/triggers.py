"""Triggers: may a task run, now that everything upstream of it is finished?

A trigger takes `{Edge: State}` and returns True, or False for TriggerFailed; a signal or an exception that it raises
decides too. An edge from a mapped task that is reduced stands there once per child. Skipped counts as success,
TriggerFailed as failure; a task without upstream passes.

The triggers of this module look at states only, so that the engine may ask them wherever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headwater.core.context import context
from headwater.core.signals import PAUSE, SKIP, TRIGGERFAIL
from headwater.core.states import State

Trigger = Callable[[Mapping[Any, State]], bool]

# What the engine may ask by itself, as it needs no result and knows the answer's words.
BUILT_IN: set[Trigger] = set()


def _built_in(trigger: Trigger) -> Trigger:
    BUILT_IN.add(trigger)
    return trigger


@_built_in
def all_successful(upstream_states: Mapping[Any, State]) -> bool:
    """Run when everything upstream succeeded. The default."""
    failed = [name for name, state in _named(upstream_states) if not state.is_successful()]
    if failed:
        raise TRIGGERFAIL(f'Trigger was "all_successful" but upstream failed: {_listed(failed)}.')
    return True


@_built_in
def all_failed(upstream_states: Mapping[Any, State]) -> bool:
    """Run when everything upstream failed."""
    good = [name for name, state in _named(upstream_states) if not state.is_failed()]
    if good:
        raise TRIGGERFAIL(f'Trigger was "all_failed" but upstream did not fail: {_listed(good)}.')
    return True


@_built_in
def any_successful(upstream_states: Mapping[Any, State]) -> bool:
    """Run when something upstream succeeded."""
    if upstream_states and not any(state.is_successful() for state in upstream_states.values()):
        raise TRIGGERFAIL('Trigger was "any_successful" but nothing upstream succeeded.')
    return True


@_built_in
def any_failed(upstream_states: Mapping[Any, State]) -> bool:
    """Run when something upstream failed."""
    if upstream_states and not any(state.is_failed() for state in upstream_states.values()):
        raise TRIGGERFAIL('Trigger was "any_failed" but nothing upstream failed.')
    return True


@_built_in
def all_finished(upstream_states: Mapping[Any, State]) -> bool:
    """Run whatever became of everything upstream."""
    return True


always_run = all_finished


@_built_in
def not_all_skipped(upstream_states: Mapping[Any, State]) -> bool:
    """Run when nothing upstream failed and something did not skip; skip when all did."""
    if upstream_states and all(state.is_skipped() for state in upstream_states.values()):
        raise SKIP("Everything upstream was skipped.")
    failed = [name for name, state in _named(upstream_states) if not state.is_successful()]
    if failed:
        raise TRIGGERFAIL(f'Trigger was "not_all_skipped" but upstream failed: {_listed(failed)}.')
    return True


def manual_only(upstream_states: Mapping[Any, State]) -> bool:
    """Run when a person has said so."""
    if context.get("resume"):
        return True
    raise PAUSE('Trigger is "manual_only": a person has to let it run.')


def some_failed(at_least: float | None = None, at_most: float | None = None) -> Trigger:
    """Make a trigger: so many upstream tasks failed. Numbers below 1 are shares of all of them."""
    return _counting("some_failed", at_least, at_most, State.is_failed)


def some_successful(at_least: float | None = None, at_most: float | None = None) -> Trigger:
    """Make a trigger: so many upstream tasks succeeded. Numbers below 1 are shares of all of them."""
    return _counting("some_successful", at_least, at_most, State.is_successful)


def _counting(name: str, at_least: float | None, at_most: float | None, is_so: Callable[[State], bool]) -> Trigger:
    for bound in (at_least, at_most):
        if bound is not None and bound < 0:
            raise ValueError(f"{name}: a bound is {bound}; give 0 or more, or a share below 1.")

    def trigger(upstream_states: Mapping[Any, State]) -> bool:
        count, total = sum(1 for state in upstream_states.values() if is_so(state)), len(upstream_states)
        least, most = _number(at_least, total, 0), _number(at_most, total, total)
        if total and not least <= count <= most:
            raise TRIGGERFAIL(f'Trigger was "{name}" for {least:g} to {most:g} of {total} tasks, but it was {count}.')
        return True

    trigger.__name__ = name
    return trigger


def _number(bound: float | None, total: int, default: int) -> float:
    if bound is None:
        return default
    return bound * total if 0 < bound < 1 else bound


def _named(upstream_states: Mapping[Any, State]) -> Iterable[tuple[str, State]]:
    return (
        (getattr(getattr(edge, "upstream", edge), "name", str(edge)), state) for edge, state in upstream_states.items()
    )


def _listed(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    return ", ".join(f'"{name}"' for name in unique[:5]) + (" and others" if len(unique) > 5 else "")
