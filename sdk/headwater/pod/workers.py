"""Workers that come and go: how many slots of limited tags a run can use depends on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin


class Comings(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Calls *changed* in the scheduler's event loop whenever a worker has come or gone."""

    name = "headwater-comings"

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        self._changed()

    def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> None:
        self._changed()
