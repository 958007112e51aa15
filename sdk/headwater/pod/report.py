"""A run as its status shows it: tasks, progress and the last word. Pure, and bounded in bytes.

tasks     one entry per task of the graph, parameters left out
progress  how many tasks are in which state
report    the runner's verdict, which the operator turns into the Succeeded condition
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from headwater.core.states import State
from headwater.engine.machine import Run
from headwater.engine.plan import labels
from headwater.resources.conditions import RunState, timestamp

# The whole status has to stay below 64 KiB; the operator's part is small.
TASKS_BYTES = 48 * 1024
MAX_TASKS = 500
NAME_LENGTH = 256
MESSAGE_LENGTH = 500
SHORT_MESSAGE_LENGTH = 80
REPORT_LENGTH = 4000

# Progress counts by these; every state of a task run is one of them.
COUNTED = ("success", "running", "pending", "failed", "retrying")


def status_of(run: Run) -> dict[str, Any]:
    """Return the runner's fields of a FlowRun's status; None takes a field away."""
    status: dict[str, Any] = {"tasks": task_entries(run), "progress": progress(run)}
    first = min((t.started_at for i, t in _shown(run) if t.started_at is not None), default=None)
    if first is not None:
        status["timeline"] = {"firstTaskAt": timestamp(first)}
    return status


def _shown(run: Run) -> list[tuple[int, Any]]:
    return [(i, run.tasks[i]) for i, plan in enumerate(run.plan.tasks) if plan.parameter is None]


def count_as(state: State) -> str:
    """Return what a state counts as in progress."""
    if state.is_retrying():
        return "retrying"
    if state.is_failed():
        return "failed"
    if state.is_successful():
        return "success"
    return "running" if state.is_running() else "pending"


def progress(run: Run) -> dict[str, Any]:
    """Return the counts, zeros included, so that a merge patch overwrites what was there."""
    counts = Counter(count_as(task.state) for _, task in _shown(run))
    total = sum(counts.values())
    finished = counts["success"] + counts["failed"]
    return {"text": f"{finished}/{total}", "total": total, **{name: counts[name] for name in COUNTED}}


def task_entries(run: Run) -> list[dict[str, Any]]:
    """Return an entry per task within TASKS_BYTES: first messages are shortened, then successful
    tasks are left out, then all but the failed ones; progress has the counts of all."""
    names = labels(run.plan)
    shown = _shown(run)
    for length, keep in (
        (MESSAGE_LENGTH, ("success", "running", "pending", "failed", "retrying")),
        (SHORT_MESSAGE_LENGTH, ("success", "running", "pending", "failed", "retrying")),
        (SHORT_MESSAGE_LENGTH, ("running", "failed", "retrying")),
        (SHORT_MESSAGE_LENGTH, ("failed",)),
    ):
        entries = [_entry(names[i], task, length) for i, task in shown if count_as(task.state) in keep]
        if len(entries) <= MAX_TASKS and len(json.dumps(entries)) <= TASKS_BYTES:
            return entries
    kept = entries[:MAX_TASKS]
    while len(json.dumps(kept)) > TASKS_BYTES:
        kept = kept[: len(kept) * 3 // 4]
    return kept


def _entry(name: str, task: Any, length: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": shorten(name, NAME_LENGTH), "state": task.state.name}
    if task.started_at is not None:
        entry["startedAt"] = timestamp(task.started_at)
    if task.finished_at is not None:
        entry["finishedAt"] = timestamp(task.finished_at)
    if task.run_count:
        entry["runs"] = task.run_count
    # That a task succeeded needs no words; that it waits or failed does.
    if task.state.is_failed() or task.state.is_retrying():
        entry["message"] = shorten(task.state.message or "", length)
    return entry


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def verdict(run: Run) -> tuple[RunState, str]:
    """Return the final state of a finished run and one sentence that says why."""
    shown = _shown(run)
    failed = [(i, task) for i, task in shown if task.state.is_failed()]
    total = len(shown)
    if run.state.is_successful():
        return RunState.SUCCESS, _success_words(total, len(failed))
    names = labels(run.plan)
    # Those that only waited for a failed one explain nothing.
    causes = [(i, task) for i, task in failed if task.state.name != "TriggerFailed"]
    i, task = min(causes, key=lambda cause: cause[1].finished_at)
    words = f'Task "{names[i]}" {"crashed" if task.state.is_crashed() else "failed"}: {task.state.message}'
    if len(causes) > 1:
        words += f" ({len(causes) - 1} more failed by themselves)"
    return RunState.FAILED, shorten(words, MESSAGE_LENGTH)


def _success_words(total: int, failed: int) -> str:
    if failed:
        return f"{total - failed} of {total} tasks succeeded"
    return {0: "The flow has no tasks", 1: "Its task succeeded"}.get(total, f"All {total} tasks succeeded")


def final_report(state: RunState, message: str, at: float) -> dict[str, Any]:
    """Return the runner's last word; the message may hold a traceback, bounded."""
    return {"state": str(state), "message": shorten(message, REPORT_LENGTH), "finishedAt": timestamp(at)}
