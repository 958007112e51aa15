"""What the API server knows of a run's tasks, by which a command refuses what would lead nowhere. Pure."""

from __future__ import annotations

from typing import Any

from headwater.core import states
from headwater.core.errors import ClusterError

MARKS = ("Success", "Failed", "Skipped")
UNDER_WAY = ("pending", "running", "paused", "retrying")


def slug_of(run: dict[str, Any], version: dict[str, Any] | None, task: str) -> str:
    """Return the slug of the task that is called so, as the flow's graph has it, or else the run's own status.

    Raises ClusterError when there is none or several. Where nothing is known the run itself will tell.
    """
    graph = (version or {}).get("status", {}).get("graph", {}).get("tasks")
    slugs = [(entry["name"], slug) for entry in graph or _tasks(run) for slug in _slugs(entry)]
    if not slugs or task in [slug for _, slug in slugs]:
        return task
    named = [slug for name, slug in slugs if name == task]
    if len(named) == 1:
        return named[0]
    several = "has several tasks called" if named else "has no task"
    raise ClusterError(
        f'The flow {several} "{task}"; its tasks are {", ".join(sorted(named or [slug for _, slug in slugs]))}.'
    )


def why_useless(run: dict[str, Any], slug: str, decision: str, index: int | None) -> str:
    """Return why a decision leads nowhere, "" when it may lead somewhere: what has ended never changes."""
    entry = next((entry for entry in _tasks(run) if slug in _slugs(entry)), None)
    if entry is None:
        return ""
    mapped = entry.get("mapped")
    if mapped is None:
        if not _is_finished(entry["state"]):
            return ""
        return f'"{slug}" has ended as {entry["state"]} already'
    total = mapped["total"]
    if index is not None:
        return f'"{slug}" has {total} children, counted from 0, and no {index}' if index >= total else ""
    if decision in MARKS:
        return f'"{slug}" has {total} children: name one with --index'
    return "" if any(mapped.get(name) for name in UNDER_WAY) else f'all children of "{slug}" have ended already'


def stored_nothing(run: dict[str, Any]) -> bool:
    """Whether tasks of a run have succeeded and its status tells of no stored result of any."""
    tasks = _tasks(run)
    good = any(entry["state"] in ("Success", "Mapped") or entry.get("mapped", {}).get("success") for entry in tasks)
    return good and not any("result" in entry or "results" in entry for entry in tasks)


def _tasks(run: dict[str, Any]) -> list[dict[str, Any]]:
    return list(run.get("status", {}).get("tasks") or [])


def _slugs(entry: dict[str, Any]) -> list[str]:
    """A status leaves the slug out where it is the name, or the name and -1."""
    return [entry["slug"]] if "slug" in entry else [f"{entry['name']}-1", entry["name"]]


def _is_finished(state: str) -> bool:
    kind = getattr(states, state, None)
    return isinstance(kind, type) and issubclass(kind, states.Finished)
