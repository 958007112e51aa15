"""Task runs in threads of the engine's process, whatever the executor: those that wait for something else.

They take no worker's place while they wait, and they need what only that process has, such as its credentials.
"""

from __future__ import annotations

import threading
from contextvars import copy_context

from headwater.engine.drive import Post
from headwater.engine.events import SubmitTask
from headwater.engine.machine import Run
from headwater.executors.here import execute_here
from headwater.executors.program import Program, RunInfo


class Beside:
    """Made where the run begins; its threads see the context variables of that place."""

    def __init__(self, program: Program, info: RunInfo, run: Run) -> None:
        self._program = program
        self._info = info
        self._run = run
        self._context = copy_context()

    def start(self, command: SubmitTask, post: Post) -> None:
        """Run one task, whose inputs are values, in a thread of its own; *post* is called there."""
        threading.Thread(
            target=self._context.copy().run,
            args=(execute_here, self._program, self._info, self._run, command, post),
            name=f"beside-{self._run.plan.tasks[command.task].name}",
            daemon=True,
        ).start()
