"""A run as its status shows it: tasks, progress and the last word. Pure, and bounded in bytes.

tasks     one entry per task of the graph, parameters left out
progress  how many tasks are in which state
taskDemand  slots of limited tags: how many it could use, and may be using
report    the runner's verdict, which the operator turns into the Succeeded condition
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from typing import Any

from headwater.core.states import (
    Cached,
    Cancelled,
    Failed,
    Paused,
    Retrying,
    Running,
    Scheduled,
    Skipped,
    State,
    Success,
)
from headwater.engine.gate import Gate
from headwater.engine.machine import Run
from headwater.engine.plan import labels
from headwater.engine.run import Family, TaskRun
from headwater.resources.conditions import RunState, timestamp

# The whole status has to stay below 64 KiB; the operator's part is small.
TASKS_BYTES = 48 * 1024
MAX_TASKS = 500
NAME_LENGTH = 256
MESSAGE_LENGTH = 500
SHORT_MESSAGE_LENGTH = 80
REPORT_LENGTH = 4000

# A mapped task names so many of its failed children, and of those that are paused.
NAMED_CHILDREN = 50

# And tells where the results of so many are stored.
STORED_CHILDREN = 50
URL_LENGTH = 1024

# Progress counts by these; every state of a task run is one of them.
COUNTED = ("success", "running", "pending", "paused", "failed", "retrying", "skipped", "cached", "cancelled")
FINISHED = ("success", "failed", "skipped", "cached", "cancelled")


def status_of(run: Run, gate: Gate | None = None) -> dict[str, Any]:
    """Return the runner's fields of a FlowRun's status; None takes a field away."""
    status: dict[str, Any] = {"tasks": task_entries(run, gate), "progress": progress(run)}
    if gate is not None:
        status["taskDemand"] = _demand(gate) if run.finished_at is None else None
    if run.begun_at is not None:
        status["timeline"] = {"firstTaskAt": timestamp(run.begun_at)}
    return status


def _demand(gate: Gate) -> dict[str, Any]:
    found = gate.demand().items()
    tags = [{"name": tag, "wanted": demand.wanted, "held": demand.held} for tag, demand in found]
    return {"serial": gate.serial, "tags": tags}


def _shown(run: Run) -> list[tuple[int, TaskRun]]:
    return [(i, run.tasks[i]) for i, plan in enumerate(run.plan.tasks) if plan.parameter is None]


def _first_start(task: TaskRun) -> float | None:
    return task.started_at if task.family is None else task.family.first_started_at


# The first that fits; what is none of them is pending.
KINDS: tuple[tuple[type[State], str], ...] = (
    (Retrying, "retrying"),
    (Failed, "failed"),
    (Skipped, "skipped"),
    (Cached, "cached"),
    (Success, "success"),
    (Running, "running"),
    (Paused, "paused"),
    (Cancelled, "cancelled"),
)


def count_as(kind: type[State]) -> str:
    """Return what a state of this kind counts as in progress."""
    return next((name for base, name in KINDS if issubclass(kind, base)), "pending")


def progress(run: Run) -> dict[str, Any]:
    """Return the counts, zeros included, so that a merge patch overwrites what was there; children count one by one."""
    counts: Counter[str] = Counter()
    for _, task in _shown(run):
        counts.update(_counts(task))
    total = sum(counts.values())
    finished = sum(counts[name] for name in FINISHED)
    return {"text": f"{finished}/{total}", "total": total, **{name: counts[name] for name in COUNTED}}


def _counts(task: TaskRun) -> Counter[str]:
    """Count a task, or its children: without looking at each, as there may be a million."""
    if task.family is None:
        return Counter({count_as(type(task.state)): 1})
    counts: Counter[str] = Counter()
    for kind, count in task.family.counts.items():
        if count:
            counts[count_as(kind)] += count
    return counts


def task_entries(run: Run, gate: Gate | None = None) -> list[dict[str, Any]]:
    """Return an entry per task within TASKS_BYTES: first messages are shortened, then successful
    tasks are left out, then all but the failed ones; progress has the counts of all."""
    names = labels(run.plan)
    shown = _shown(run)
    waits = {i: gate.waits_for(i) for i, _ in shown} if gate is not None else {}
    for length, keep in (
        (MESSAGE_LENGTH, COUNTED),
        (SHORT_MESSAGE_LENGTH, COUNTED),
        (SHORT_MESSAGE_LENGTH, ("running", "failed", "retrying", "paused")),
        (SHORT_MESSAGE_LENGTH, ("failed",)),
    ):
        entries = [
            _entry(names[i], run.plan.tasks[i].slug, task, length, waits.get(i, ""))
            for i, task in shown
            if _summary(task) in keep
        ]
        if len(entries) <= MAX_TASKS and len(json.dumps(entries)) <= TASKS_BYTES:
            return entries
    kept = entries[:MAX_TASKS]
    while len(json.dumps(kept)) > TASKS_BYTES:
        kept = kept[: len(kept) * 3 // 4]
    return kept


def _summary(task: TaskRun) -> str:
    """What a task counts as when it is left out or kept; a mapped one by the worst of its children."""
    found = _counts(task)
    return next(
        (name for name in ("failed", "paused", "retrying", "running", "cancelled", "pending") if name in found),
        "success",
    )


def _entry(name: str, slug: str, task: TaskRun, length: int, waits: str) -> dict[str, Any]:
    under_way = task.family is not None and task.family.unfinished > 0
    entry: dict[str, Any] = {"name": shorten(name, NAME_LENGTH), "state": "Running" if under_way else task.state.name}
    if slug not in (name, f"{name}-1"):
        entry["slug"] = shorten(slug, NAME_LENGTH)
    started_at = _first_start(task) if task.children else task.started_at
    if started_at is not None:
        entry["startedAt"] = timestamp(started_at)
    if task.finished_at is not None:
        entry["finishedAt"] = timestamp(task.finished_at)
    if waits:
        entry["message"] = shorten(waits, length)
    if task.children is not None and task.family is not None:
        return {**entry, **_children(task, task.children, task.family, length)}
    if task.runs:
        entry["runs"] = task.runs
    if task.stored is not None and len(task.stored.url) <= URL_LENGTH:
        entry["result"] = _address(task.stored)
    # That a task succeeded needs no words; that it waits, was skipped, cancelled or failed does.
    if isinstance(task.state, Failed | Scheduled | Skipped | Cancelled):
        entry["message"] = shorten(task.state.message or "", length)
    return entry


def _children(task: TaskRun, children: list[TaskRun], family: Family, length: int) -> dict[str, Any]:
    """Count the children, and name those that failed or are paused."""
    counts = _counts(task)
    found: dict[str, Any] = {"mapped": {"total": family.width, **{name: counts[name] for name in COUNTED}}}
    # The lowest indexes, though they may have ended last.
    stored = [(index, children[index].stored) for index in heapq.nsmallest(STORED_CHILDREN, family.stored)]
    short = [(index, address) for index, address in stored if len(address.url) <= URL_LENGTH]
    if short and length == MESSAGE_LENGTH:
        found["results"] = [{"index": index, **_address(address)} for index, address in short]
    for field, indexes in (("failedChildren", family.failed), ("pausedChildren", family.paused)):
        if indexes:
            found[field] = [
                {"index": index, "message": shorten(children[index].state.message or "", min(length, 200))}
                for index in heapq.nsmallest(NAMED_CHILDREN, indexes)
            ]
    return found


def _address(stored: Any) -> dict[str, Any]:
    return {"url": stored.url, "serializer": stored.serializer}


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def verdict(run: Run) -> tuple[RunState, str]:
    """Return the final state of a finished run and one sentence that says why."""
    failed = [(i, index, one) for i, task in _shown(run) for index, one in _failed(task)]
    if run.state.is_successful():
        total = sum(1 if task.family is None else task.family.width for _, task in _shown(run))
        return RunState.SUCCESS, _success_words(total, len(failed))
    if isinstance(run.state, Cancelled):
        return RunState.CANCELLED, _cancelled_words(run)
    # Those that only waited for a failed one explain nothing.
    causes = [cause for cause in failed if cause[2].state.name != "TriggerFailed"] or failed
    if not causes:
        return RunState.FAILED, shorten(run.state.message or "The flow's own handlers let it fail", MESSAGE_LENGTH)
    i, index, one = min(causes, key=lambda cause: cause[2].finished_at or 0.0)
    name = labels(run.plan)[i] + ("" if index is None else f"[{index}]")
    words = f'Task "{name}" {"crashed" if one.state.is_crashed() else "failed"}: {one.state.message}'
    if len(causes) > 1:
        words += f" ({len(causes) - 1} more failed by themselves)"
    return RunState.FAILED, shorten(words, MESSAGE_LENGTH)


def _failed(task: TaskRun) -> list[tuple[int | None, TaskRun]]:
    if task.children is not None and task.family is not None:
        return [(index, task.children[index]) for index in task.family.failed]
    return [(None, task)] if task.state.is_failed() else []


def _success_words(total: int, failed: int) -> str:
    if failed:
        return f"{total - failed} of {total} tasks succeeded"
    return {0: "The flow has no tasks", 1: "Its task succeeded"}.get(total, f"All {total} tasks succeeded")


def _cancelled_words(run: Run) -> str:
    if not run.cancelled:
        return shorten(run.state.message or "The flow's own handlers cancelled it", MESSAGE_LENGTH)
    counts = progress(run)
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    done = counts["success"] + counts["cached"]
    return f"Cancelled, as {run.cancelled}: {done} of {counts['total']} tasks succeeded{failed}, the others did not run"


def final_report(state: RunState, message: str, at: float) -> dict[str, Any]:
    """Return the runner's last word; the message may hold a traceback, bounded."""
    return {"state": str(state), "message": shorten(message, REPORT_LENGTH), "finishedAt": timestamp(at)}
