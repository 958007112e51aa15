"""The seam between the engine and what executes task runs."""

from __future__ import annotations

from typing import Protocol

from headwater.core.flow import Flow
from headwater.engine.drive import Drive
from headwater.executors.program import RunInfo


class Executor(Protocol):
    """Runs the task runs of one flow run, in the process that called `flow.run()` or on workers."""

    def execute(self, flow: Flow, drive: Drive, info: RunInfo) -> None:
        """Take the run to its end, then turn the ref of each finished task into its value.

        Raises what the executor itself cannot overcome, such as a scheduler that does not answer.
        """
