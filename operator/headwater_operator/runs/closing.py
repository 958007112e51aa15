"""What a run leaves in its status when its runner could not say how its tasks ended. Pure."""

from __future__ import annotations

from typing import Any

from headwater.resources.conditions import RunState

# States of a task run that was under way.
UNDER_WAY = ("Running", "Retrying", "Resume")


def closed_tasks(status: dict[str, Any], state: RunState) -> dict[str, Any]:
    """Return `tasks` and `progress` of a run that has ended while tasks were under way: nothing runs any more.

    What was under way has ended as the run has, Crashed or TimedOut; what had not begun never will. Empty when there
    is nothing to correct.
    """
    tasks, progress = status.get("tasks", []), status.get("progress", {})
    if not any(task["state"] in UNDER_WAY for task in tasks) and not any(
        progress.get(name) for name in ("running", "retrying")
    ):
        return {}
    ended = "TimedOut" if state is RunState.TIMED_OUT else "Crashed"
    closed = [_closed(task, ended) for task in tasks]
    moved = int(progress.get("running", 0)) + int(progress.get("retrying", 0))
    counts = {**progress, "running": 0, "retrying": 0, "failed": int(progress.get("failed", 0)) + moved}
    finished = sum(int(counts.get(name, 0)) for name in ("success", "failed", "skipped", "cached"))
    return {"tasks": closed, "progress": {**counts, "text": f"{finished}/{counts.get('total', finished)}"}}


def _closed(task: dict[str, Any], ended: str) -> dict[str, Any]:
    if task["state"] not in UNDER_WAY:
        return task
    words = "its run timed out" if ended == "TimedOut" else "its runner went away"
    return {**task, "state": ended, "message": f"It was under way when {words}."}
