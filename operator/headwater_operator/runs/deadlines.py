"""When a run is called off: cancelled, replaced, a deadline passed, its pods invalid, or workers that die again and
again. Pure.

Pods are taken away first and the state is written when they are gone: nothing may start after it was called over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from headwater.resources.conditions import RunState, find, parse_timestamp
from headwater_operator import pods
from headwater_operator.kinds import POD
from headwater_operator.plans import AGAIN, Delete, Plan
from headwater_operator.runs.facts import Observed
from headwater_operator.runs.queue import replaced_words
from headwater_operator.runs.status import finish, status_of


def called_off(seen: Observed, now: datetime) -> Plan | None:
    """Return how to end a run that has used up its time or its workers, or None."""
    passed = _why(seen, now)
    if passed is None:
        return None
    state, message = passed
    if seen.runner is not None and "attempt" not in seen.status:
        # First it is noted that it has begun: without its pod it would be let begin once more.
        return Plan(status=status_of(seen, RunState.SUBMITTED, "the pods are starting", now))
    stopping = [pod for pod in seen.pods if not pods.has_ended(pod)]
    if not stopping:
        return finish(seen, state, message, now)
    return Plan(
        delete=tuple(
            Delete(POD, pod["metadata"]["name"]) for pod in stopping if "deletionTimestamp" not in pod["metadata"]
        )
    )


def _why(seen: Observed, now: datetime) -> tuple[RunState, str] | None:
    if seen.refusal is not None and seen.refusal.permanent:
        return RunState.FAILED, seen.refusal.words("the pods are")
    if (
        seen.begun
        and seen.cancel is not None
        and (seen.cancel.terminate or not _can_hear(seen) or _has_no_worker_yet(seen))
    ):
        when = "" if seen.first_task_at is not None else " before its first task began"
        return RunState.CANCELLED, f"cancelled{when} ({seen.cancel.why(seen.name)})"
    if seen.begun and seen.replaced_by is not None:
        return RunState.CANCELLED, replaced_words(seen.replaced_by)
    limit, since = seen.start_deadline_seconds(), seen.may_begin_since
    if not _has_begun(seen) and since is not None and (now - since).total_seconds() >= limit:
        why = _why_not_begun(seen)
        return RunState.TIMED_OUT, f"no task began within {limit} s{_once(why, 'no task began within')}"
    timeout, started_at = seen.timeout_seconds(), seen.status.get("attempt", {}).get("startedAt")
    ends_at = (
        None if timeout is None or started_at is None else parse_timestamp(started_at) + timedelta(seconds=timeout)
    )
    if ends_at is not None and now >= ends_at:
        return RunState.TIMED_OUT, f"the run took longer than its timeoutSeconds, {timeout} s"
    dead = [pod for pod in seen.workers if pods.has_ended(pod)]
    if len(dead) > allowed_losses(seen.wanted_workers):
        last = max(dead, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        why = f"{len(dead)} workers were lost, the last, {last['metadata']['name']}: {pods.how_ended(last).message}"
        return RunState.CRASHED, why
    if seen.begun and seen.version is None and seen.wanted_workers and not any(map(pods.is_live, seen.workers)):
        return RunState.CRASHED, f"no worker is left, and none can be made: {gone_words(seen)}"
    return None


def gone_words(seen: Observed) -> str:
    """Why a run under way has no version any more."""
    return f'Flow "{seen.run["spec"]["flow"]}" was deleted, and with it the version that this run is of'


def _can_hear(seen: Observed) -> bool:
    """Whether there is a runner that can let finish what runs: one that has not started yet has begun nothing, and one
    that is being deleted, which may start nevertheless, is stopped before it can."""
    runner = seen.runner
    return runner is not None and pods.started_at(runner) is not None and "deletionTimestamp" not in runner["metadata"]


def _has_no_worker_yet(seen: Observed) -> bool:
    """Whether none of its workers has ever started: there is nothing to let finish, and what would clean up waits for a
    worker too."""
    ever = any(pods.started_at(pod) is not None for pod in seen.workers)
    return seen.first_task_at is None and seen.wanted_workers > 0 and not ever


def _has_begun(seen: Observed) -> bool:
    """Whether a task has begun, or nothing but a limit keeps it from it."""
    return seen.first_task_at is not None or bool(seen.lacks_slots)


def _why_not_begun(seen: Observed) -> str:
    """What the run has last said that it waits for; not what it waits for once its end is decided."""
    condition = find(seen.status.get("conditions", []), "Succeeded")
    if condition is None or not condition["message"] or "finishedAt" in seen.status:
        return ""
    return f": {condition['message'].removesuffix(AGAIN)}"


def _once(why: str, words: str) -> str:
    """Leave out a message that says the same already."""
    return "" if words in why else why


def next_deadline_seconds(seen: Observed, now: datetime) -> float | None:
    """Return how long until a deadline passes, or None when there is none."""
    ends = []
    if not _has_begun(seen):
        ends.append((seen.may_begin_since or now) + timedelta(seconds=seen.start_deadline_seconds()))
    timeout, started_at = seen.timeout_seconds(), seen.status.get("attempt", {}).get("startedAt")
    if timeout is not None and started_at is not None:
        ends.append(parse_timestamp(started_at) + timedelta(seconds=timeout))
    return max(0.05, (min(ends) - now).total_seconds()) if ends else None


def allowed_losses(workers: int) -> int:
    """How many workers of an attempt may die before it is called off: each is replaced, but not for ever."""
    return max(5, 3 * workers)
