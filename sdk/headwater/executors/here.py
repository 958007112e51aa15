"""Run one task in the thread that calls, and say how it went in the engine's words."""

from __future__ import annotations

import time

from headwater.engine.drive import Post
from headwater.engine.events import SubmitTask, TaskEnded, TaskStarted, TaskWithdrawn
from headwater.engine.inputs import resolve
from headwater.engine.machine import Run
from headwater.executors.inline import loaded
from headwater.executors.program import Program, RunInfo
from headwater.executors.work import Outcome, TaskCall, run_task


def call_of(run: Run, command: SubmitTask) -> TaskCall:
    """Return a command as it goes to where it is carried out."""
    plan = run.plan.tasks[command.task]
    return TaskCall(
        plan.slug,
        command.number,
        command.map_index,
        command.previous,
        command.upstream,
        command.enter,
        command.loop,
        command.resumed,
        plan.measure,
    )


def ended(command: SubmitTask, outcome: Outcome) -> TaskEnded:
    """Return the event that an outcome is, where the ref of a result is the result itself."""
    now, at = time.time(), command.map_index
    return TaskEnded(
        command.task,
        command.run_count,
        now,
        outcome.state,
        outcome.value,
        outcome.length,
        at,
        outcome.loop,
        outcome.stored,
    )


def withdrawn(command: SubmitTask) -> TaskWithdrawn:
    """Return the event that a command was taken back before anything was begun for it."""
    return TaskWithdrawn(command.task, command.run_count, time.time(), command.map_index)


def execute_here(program: Program, info: RunInfo, run: Run, command: SubmitTask, post: Post) -> None:
    """Run one task in this thread and post how it went."""

    def began(run_name: str | None) -> None:
        post(TaskStarted(command.task, command.run_count, time.time(), command.map_index, run_name))

    outcome = run_task(
        program,
        info,
        call_of(run, command),
        lambda: {key: resolve(given, command.map_index, loaded) for key, given in command.inputs.items()},
        began=began,
    )
    post(ended(command, outcome))
