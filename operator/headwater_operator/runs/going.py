"""How a run under way goes, in a state and words. Pure."""

from __future__ import annotations

from datetime import datetime

from headwater.resources.conditions import RunState, parse_timestamp
from headwater_operator import pods
from headwater_operator.runs.deadlines import gone_words
from headwater_operator.runs.decisions import asked_words, paused_words, unknown_words
from headwater_operator.runs.facts import Observed

# A run that ends sooner is not announced as Running first: it saves a write of a status that nobody sees.
RUNNING_AFTER_SECONDS = 0.5


def how_it_goes(seen: Observed, now: datetime) -> tuple[RunState, str, float | None]:
    """Return the state of a run under way, why, and when it may change by itself."""
    assert seen.runner is not None, "a run without a runner is lost"
    if seen.cancel is not None:
        why = seen.cancel.why(seen.name)
        words = f"what runs is let finish ({why}){_why_no_worker(seen)}; spec.cancel: Terminate stops it"
        return RunState.CANCELLING, words, None
    if seen.first_task_at is not None:
        age = (now - parse_timestamp(seen.first_task_at)).total_seconds()
        if age >= RUNNING_AFTER_SECONDS:
            pause = paused_words(seen)
            return (RunState.RUNNING, _all_words(seen), None) if pause is None else (RunState.PAUSED, pause, None)
        return RunState.SUBMITTED, "the pods are starting", RUNNING_AFTER_SECONDS - age + 0.01
    if seen.lacks_slots:
        return RunState.RUNNING, _slot_words(seen), None
    if seen.refusal is not None:
        return RunState.PENDING, seen.refusal.words("a worker is"), seen.refusal.again_seconds(now)
    live = [seen.runner, *(pod for pod in seen.workers if pods.is_live(pod))]
    waits = [wait for wait in map(pods.why_waiting, live) if wait is not None]
    # While one worker has a place, the run can begin.
    if waits and (pods.why_waiting(seen.runner) is not None or len(waits) >= max(1, len(live) - 1)):
        return RunState.PENDING, waits[0].message, None
    return RunState.SUBMITTED, "the pods are starting", None


def _why_no_worker(seen: Observed) -> str:
    """Why what cleans up does not begin, when all of its workers wait."""
    live = [pod for pod in seen.workers if pods.is_live(pod)]
    waits = [wait for wait in map(pods.why_waiting, live) if wait is not None]
    return f", but no worker runs: {waits[0].message}" if waits and len(waits) == len(live) else ""


def _all_words(seen: Observed) -> str:
    """What runs, and what a person is asked meanwhile."""
    asked = asked_words(seen)
    return _running_words(seen) + (f"; {asked}" if asked else "") + unknown_words(seen)


def _running_words(seen: Observed) -> str:
    waits = [wait for wait in map(pods.why_waiting, seen.workers) if wait is not None]
    if seen.refusal is not None:
        return f"tasks are running; {seen.refusal.words('a worker is')}"
    if waits:
        return f"running with {len(seen.workers) - len(waits)} of {seen.wanted_workers} workers: {waits[0].message}"
    live = sum(map(pods.is_live, seen.workers))
    if seen.version is None and live < seen.wanted_workers:
        return f"running with {live} of {seen.wanted_workers} workers, and no other can be made: {gone_words(seen)}"
    if seen.lacks_slots:
        return _slot_words(seen)
    progress = seen.status.get("progress", {})
    later = progress.get("retrying") and not progress.get("running")
    return "tasks wait for their next run" if later else "tasks are running"


def _slot_words(seen: Observed) -> str:
    words = {tag["name"]: tag.get("message", "") for tag in (seen.status.get("taskLimits") or {}).get("tags") or []}
    names = " and of ".join(f'tag "{tag}"' + (f" ({words[tag]})" if words.get(tag) else "") for tag in seen.lacks_slots)
    return f"tasks wait for a slot of {names}"
