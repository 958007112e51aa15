"""A FlowRun's status as the operator writes it: its own fields only, derived from what exists. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headwater.resources.conditions import RunState, run_conditions, timestamp, to_manifest
from headwater.resources.names import attempt_name
from headwater_operator import pods
from headwater_operator.kinds import SECRET, SERVICE, Manifest
from headwater_operator.objects.pods import image_of
from headwater_operator.plans import AGAIN, Delete, Plan, Refusal
from headwater_operator.runs.claims import claim_map, key_of
from headwater_operator.runs.closing import closed_tasks
from headwater_operator.runs.facts import Observed


def finish(seen: Observed, state: RunState, message: str, now: datetime) -> Plan:
    """The plan that ends a run: its final state, once and for all.

    While there is a runner pod, what it needed goes with it later; without one, or when it is about to go, it goes
    now, whoever made it.
    """
    status = status_of(seen, state, message + _lost_workers(seen, state), now)
    if state in (RunState.CRASHED, RunState.TIMED_OUT, RunState.CANCELLED) and "report" not in seen.status:
        status |= closed_tasks(seen.status, state)
    report = seen.status.get("report") or {}
    finished_at = report.get("finishedAt") or seen.status.get("finishedAt") or timestamp(now)
    claim = _claim(seen, state, message, finished_at)
    if seen.refusal is not None and seen.refusal.is_about(claim):
        return _unclaimed(seen, state, seen.refusal, claim, finished_at, now)
    status = _ended_at(status, finished_at)
    stays = seen.runner is not None and "deletionTimestamp" not in seen.runner["metadata"]
    delete = () if stays else belongings(seen)
    return Plan(create=claim, status=status, delete=delete)


def _unclaimed(
    seen: Observed, state: RunState, refusal: Refusal, claim: tuple[Manifest, ...], finished_at: str, now: datetime
) -> Plan:
    """It has ended, and must not say so for good before its claim is there: another run of its key would be executed
    once this one is gone. Its `finishedAt` tells that it is over, and its slots are free."""
    words = f"it has ended ({state}); its claim is {refusal.how}: {refusal.message}{AGAIN}"
    return Plan(
        create=claim if refusal.is_over(now) else (),
        status=_ended_at(status_of(seen, RunState.PENDING, words, now), finished_at),
        again_seconds=refusal.again_seconds(now),
    )


def _ended_at(status: dict[str, Any], finished_at: str) -> dict[str, Any]:
    return {**status, "finishedAt": finished_at, "timeline": {**status["timeline"], "finishedAt": finished_at}}


def _claim(seen: Observed, state: RunState, message: str, finished_at: str) -> tuple[Manifest, ...]:
    """What keeps a run from being executed again under its key; it is made before the state is written."""
    if seen.flow is None or key_of(seen.run) is None or not _may_have_run(seen, state):
        return ()
    brief = message.partition("\n")[0]
    return (claim_map(run=seen.run, flow=seen.flow, state=state, message=brief, finished_at=finished_at),)


def _may_have_run(seen: Observed, state: RunState) -> bool:
    """Whether a task may have begun. A runner that was lost after it had started may not have been able to tell."""
    if seen.first_task_at is not None or seen.report is not None:
        return True
    return state is RunState.CRASHED and "runnerStartedAt" in seen.status.get("timeline", {})


def _lost_workers(seen: Observed, state: RunState) -> str:
    """How workers ended that the runner could only see go away."""
    dead = [pod for pod in seen.workers if pods.has_ended(pod)]
    if state is not RunState.FAILED or not dead:
        return ""
    last = max(dead, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    more = f" ({len(dead)} workers were lost)" if len(dead) > 1 else ""
    return f"; worker pod {last['metadata']['name']}: {pods.how_ended(last).message}{more}"


def belongings(seen: Observed) -> tuple[Delete, ...]:
    """What an attempt has beside its pods."""
    name = attempt_name(seen.name, seen.attempt)
    return (Delete(SERVICE, name), Delete(SECRET, name))


def status_of(seen: Observed, state: RunState, message: str, now: datetime) -> dict[str, Any]:
    """Return the operator's fields of the status."""
    generation = seen.run["metadata"]["generation"]
    conditions = to_manifest(run_conditions(state, message), seen.status.get("conditions", []), generation, now)
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "timeline": {"createdAt": seen.run["metadata"]["creationTimestamp"]},
        "conditions": conditions,
    }
    waits = state.in_line or (state is RunState.RUNNING and seen.first_task_at is None)
    if (seen.in_line or seen.in_line_for_slots) and not waits and not state.finished:
        status["timeline"]["releasedAt"] = timestamp(now)
    runner = seen.runner
    if runner is None:
        return status
    # What was written once stays; the rest follows from the runner pod.
    if seen.version is not None:
        spec = seen.version["spec"]
        pinned = {"name": seen.version["metadata"]["name"], "number": spec["number"], "image": image_of(seen.version)}
        status["version"] = seen.status.get("version") or pinned
    made_at = runner["metadata"]["creationTimestamp"]
    admitted_at = seen.status.get("timeline", {}).get("admittedAt") or timestamp(now)
    status["attempt"] = {
        "number": seen.attempt,
        "podName": runner["metadata"]["name"],
        "podUID": runner["metadata"]["uid"],
        "startedAt": seen.status.get("attempt", {}).get("startedAt") or made_at,
        **seen.terms,
    }
    status["timeline"]["admittedAt"] = admitted_at
    started_at = pods.started_at(runner)
    if started_at is not None:
        status["timeline"]["runnerStartedAt"] = started_at
        status["startedAt"] = seen.status.get("startedAt") or started_at
    return status
