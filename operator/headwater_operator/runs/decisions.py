"""What a run under way says of tasks that wait for a person, and of what people have decided about them. Pure."""

from __future__ import annotations

from headwater_operator.runs.facts import Observed

# So many paused tasks are named.
NAMED = 3


def paused_words(seen: Observed) -> str | None:
    """Return what a run waits for when nothing runs and a person is to let a task go on; None when that is not so."""
    progress = seen.status.get("progress", {})
    if not progress.get("paused") or progress.get("running") or progress.get("retrying"):
        return None
    paused = [task for task in seen.status.get("tasks", []) if _is_paused(task)]
    named = ", ".join(f'"{_slug(task)}"' for task in paused[:NAMED]) or "a task"
    more = f" and {len(paused) - NAMED} more" if len(paused) > NAMED else ""
    why = f": {paused[0]['message']}" if paused and paused[0].get("message") else ""
    first = _slug(paused[0]) if paused else "TASK"
    how = f"headwater approve {seen.name} {first}"
    return f"task {named}{more} {_waits(len(paused))} for a person ({how}, or spec.decisions){why}{unknown_words(seen)}"


def _waits(count: int) -> str:
    return "wait" if count > 1 else "waits"


def _is_paused(task: dict[str, object]) -> bool:
    mapped = task.get("mapped")
    return task["state"] == "Paused" or (isinstance(mapped, dict) and bool(mapped.get("paused")))


def _slug(task: dict[str, object]) -> str:
    return str(task.get("slug") or task["name"])


def unknown_words(seen: Observed) -> str:
    """Name the decisions that are about no task of the flow, "" when there are none."""
    graph = (seen.version or {}).get("status", {}).get("graph", {})
    tasks = graph.get("tasks") or []
    known = {name for task in tasks for name in (task.get("name"), task.get("slug"))}
    wrong = [
        f'spec.decisions[{number}].task: the flow has no task "{decision["task"]}"'
        for number, decision in enumerate(seen.run["spec"].get("decisions") or [])
        if tasks and decision["task"] not in known
    ]
    return "".join(f"; {words}" for words in wrong[:NAMED])
