"""Results of earlier runs: found instead of running, and kept after running. Nothing is, unless the task says so.

target      a place that is named: what is there is the task's result
cache       what an earlier run with the same inputs returned, for so long
checkpoint  kept under its own name, for whoever looks later

The place is the task's `result`, else the flow's, else a folder of this user on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.core.context import context
from headwater.core.errors import HeadwaterError
from headwater.core.states import Cached, Failed, State
from headwater.core.task import Task
from headwater.executors.failures import summary_of
from headwater.executors.program import BoundTask

if TYPE_CHECKING:
    from headwater.results import Address, CacheQuery, CacheStore, Result

CHECKPOINTING = "HEADWATER_CHECKPOINTING"


def keeper_of(bound: BoundTask, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Keeper | None:
    """Return what finds and keeps the results of a task, None for one that keeps nothing."""
    task = bound.task
    cached = task.cache_for is not None or task.cache_validator is not None
    if task.target is None and not cached and not _checkpoints(bound):
        return None
    from headwater.results import CacheRule, CacheStore, LocalResult, all_inputs
    from headwater.results.validators import SameContent

    result: Result = bound.result if bound.result is not None else LocalResult()
    values = {**parameters, **context.values(), **inputs}
    if not cached:
        return Keeper(bound, result, values)
    validator = task.cache_validator or all_inputs
    rule = CacheRule(
        # What compares no content has one entry per child, else they would take each other's.
        task_name=task.name if isinstance(validator, SameContent) else str(context.get("task_full_name", task.name)),
        cache_key=task.cache_key,
        flow_name=bound.flow_name,
        validator=validator,
        cache_for=task.cache_for,
        serializer=result.serializer,
    )
    # The question is asked before the run, which may change its inputs.
    return Keeper(bound, result, values, CacheStore(result), rule.ask(_whole(task, inputs), parameters))


def _whole(task: Task, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with the defaults of arguments that were left out: a changed default is another input."""
    signature = task.signature().parameters.values()
    defaults = {p.name: p.default for p in signature if p.default is not p.empty}
    return {**defaults, **inputs}


def _checkpoints(bound: BoundTask) -> bool:
    if bound.task.checkpoint is not None:
        return bool(bound.task.checkpoint)
    if bound.result is None:
        return False
    wanted = context.get("checkpointing", os.environ.get(CHECKPOINTING, "").lower() in ("1", "true", "yes"))
    return bool(wanted)


@dataclass
class Keeper:
    """Finds and keeps the result of one task run. *stored* is where it is, once that is known."""

    bound: BoundTask
    result: Result
    values: Mapping[str, Any]
    cache: CacheStore | None = None
    query: CacheQuery | None = None
    stored: Address | None = None

    def find(self) -> State | None:
        """Return Cached with the result of an earlier run, or None."""
        from headwater.results import address_of

        target = self.bound.task.target
        if target is not None and self.result.exists(target, **self.values):
            placed = self._at(target)
            location, self.stored = placed.final_location(), address_of(placed)
            return Cached(f'Result found at task target "{location}".', self.result.read(location).value)
        if self.cache is None or self.query is None:
            return None
        entry = self.cache.find(self.query)
        if entry is None:
            return None
        return Cached(f"Result of {entry.created_at:%Y-%m-%d %H:%M:%S} UTC found in the cache.", entry.value)

    def keep(self, state: State) -> State:
        """Store a result wherever the task says so; return its state, Failed when that does not work."""
        from headwater.results.address import NOTHING, address_of

        task, value = self.bound.task, state.result
        try:
            if task.target is not None:
                self.stored = address_of(self._at(task.target).write(value))
            elif _checkpoints(self.bound):
                # That there is nothing needs no room in a store.
                self.stored = NOTHING if value is None else address_of(self.result.write(value, **self.values))
            if self.cache is not None and self.query is not None:
                self.cache.put(self.query, value)
        except HeadwaterError as error:
            task.logger.error("Task '%s': Its result could not be stored. %s", task.name, error)
            return Failed(f"It ran, but its result could not be stored. {summary_of(error)}", error)
        return state

    def _at(self, location: Any) -> Result:
        placed = self.result.copy()
        placed.location = location
        return placed.format(**self.values)
