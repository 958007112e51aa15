"""What a run under way says of tasks that wait for a person, and of what people have decided about them. Pure."""

from __future__ import annotations

from typing import Any

from headwater_operator.runs.facts import Observed

# So many paused tasks are named.
NAMED = 3


def paused_words(seen: Observed) -> str | None:
    """Return what a run waits for when nothing runs and a person is to let a task go on; None when that is not so."""
    progress = seen.status.get("progress", {})
    if progress.get("running") or progress.get("retrying"):
        return None
    words = asked_words(seen)
    return words + unknown_words(seen) if words else None


def asked_words(seen: Observed) -> str:
    """Say which tasks wait for a person, and how to answer; "" when none does."""
    if not seen.status.get("progress", {}).get("paused"):
        return ""
    paused = [task for task in seen.status.get("tasks", []) if _is_paused(task)]
    if not paused:
        return "a task waits for a person (headwater approve, or spec.decisions)"
    more = f" and {len(paused) - NAMED} more" if len(paused) > NAMED else ""
    named = ", ".join(map(_named, paused[:NAMED])) + more
    first, children = paused[0], _children(paused[0])
    asked = children[0] if children else first
    why = f": {asked['message']}" if asked.get("message") else ""
    one = f" --index {children[0]['index']}" if children else ""
    how = f"headwater approve {seen.name} {_slug(first)}{one}"
    return f"task {named} {'wait' if len(paused) > 1 else 'waits'} for a person ({how}, or spec.decisions){why}"


def _named(task: dict[str, Any]) -> str:
    """A task's slug, and of a mapped one which children."""
    children = _children(task)
    if not children:
        return f'"{_slug(task)}"'
    shown = [str(child["index"]) for child in children[:NAMED]]
    more = int(task["mapped"]["paused"]) - len(shown)
    return f'"{_slug(task)}" [{", ".join(shown)}{f" and {more} more" if more > 0 else ""}]'


def _children(task: dict[str, Any]) -> list[dict[str, Any]]:
    return list(task.get("pausedChildren") or []) if task.get("mapped") else []


def _is_paused(task: dict[str, Any]) -> bool:
    mapped = task.get("mapped")
    return task["state"] == "Paused" or (isinstance(mapped, dict) and bool(mapped.get("paused")))


def _slug(task: dict[str, Any]) -> str:
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
