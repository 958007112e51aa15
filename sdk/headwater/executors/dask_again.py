"""What keeps a scheduler from running a task run a second time, behind the engine's back."""

from __future__ import annotations

from typing import Any

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

# A task run that died with its worker counts as dead at once; whether it runs again is the engine's decision.
# What a lane has fetched stays until its last reader has ended; Dask would take the copy away after a while, and each
# batch would fetch it again.
SCHEDULER_CONFIG = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.active-memory-manager.start": False,
}


class NeverAgain(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Keep a scheduler from running the Dask tasks of a run twice: those with *mark* in their key.

    It forgets how a finished result was made, and takes the first loss of a worker for the last that a task may cause.
    """

    def __init__(self, mark: str) -> None:
        self.name = f"headwater-never-again-{mark}"
        self._mark = mark
        self._scheduler: Scheduler | None = None

    async def start(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        if self._scheduler is None or self._mark not in str(key) or key not in self._scheduler.tasks:
            return
        if finish == "memory":
            self._scheduler.tasks[key].run_spec = None
        elif finish in ("waiting", "queued", "processing"):
            found = self._scheduler.tasks[key]
            found.suspicious = max(found.suspicious, self._scheduler.allowed_failures)
