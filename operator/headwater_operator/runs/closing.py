"""What a run leaves in its status when its runner could not say how its tasks ended. Pure."""

from __future__ import annotations

from typing import Any

from headwater.resources.conditions import RunState

# States of a task run that was under way.
UNDER_WAY = ("Running", "Retrying", "Resume", "Paused")

# How progress counts them.
MOVING = ("running", "retrying", "paused")

# What became of the run.
WORDS = {"TimedOut": "its run timed out", "Cancelled": "its run was cancelled", "Crashed": "its runner went away"}


def closed_tasks(status: dict[str, Any], state: RunState) -> dict[str, Any]:
    """Return `tasks` and `progress` of a run that has ended while tasks were under way: nothing runs any more.

    What was under way has ended as the run has, Crashed, TimedOut or Cancelled; what had not begun never will. Empty
    when there is nothing to correct.
    """
    tasks, progress = status.get("tasks", []), status.get("progress", {})
    if not any(task["state"] in UNDER_WAY for task in tasks) and not any(progress.get(name) for name in MOVING):
        return {}
    ended = str(state) if state in WORDS else str(RunState.CRASHED)
    ends = "cancelled" if state is RunState.CANCELLED else "failed"
    counts = _moved(progress, ends)
    finished = sum(int(counts.get(name, 0)) for name in ("success", "failed", "skipped", "cached", "cancelled"))
    return {
        "tasks": [_closed(task, ended, ends) for task in tasks],
        "progress": {**counts, "text": f"{finished}/{counts.get('total', finished)}"},
    }


def _moved(counts: dict[str, Any], ends: str) -> dict[str, Any]:
    """Count what was under way as what has ended so."""
    moved = sum(int(counts.get(name, 0)) for name in MOVING)
    return {**counts, **{name: 0 for name in MOVING if name in counts}, ends: int(counts.get(ends, 0)) + moved}


def _closed(task: dict[str, Any], ended: str, ends: str) -> dict[str, Any]:
    if task["state"] not in UNDER_WAY:
        return task
    closed = {**task, "state": ended, "message": f"It was under way when {WORDS[ended]}."}
    if "mapped" in task:
        closed["mapped"] = _moved(task["mapped"], ends)
        closed.pop("pausedChildren", None)
    return closed
