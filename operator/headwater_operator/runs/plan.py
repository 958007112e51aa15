"""What to do about a FlowRun: a column of rules, the first that has an answer decides.

over        finished: take away what is no longer needed, and in time the run itself
reported    the runner has said how it ended, or its pod has ended
held back   not begun, and not its turn: say why; no deadline passes meanwhile
called off  cancelled, replaced, a deadline has passed, or workers die again and again: pods first, then the state
lost        the runner is gone without a word
unbegun     admit it, or say why it waits
under way   make what is missing, say how it goes
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from headwater.resources import names
from headwater.resources.conditions import RunState, parse_timestamp, timestamp
from headwater_operator import pods
from headwater_operator.events import Event
from headwater_operator.flows import history
from headwater_operator.kinds import FLOW_RUN, POD, Manifest
from headwater_operator.objects.others import attempt_secret, flow_account, scheduler_service
from headwater_operator.objects.pods import runner_pod
from headwater_operator.plans import Delete, Plan, Refusal
from headwater_operator.runs.admit import Admitted, Decision, Held, Known, Refused, Waiting, admit
from headwater_operator.runs.deadlines import called_off, next_deadline_seconds
from headwater_operator.runs.facts import Observed
from headwater_operator.runs.going import how_it_goes
from headwater_operator.runs.status import belongings, finish, status_of
from headwater_operator.runs.workers import missing_workers, replaced
from headwater_operator.settings import Settings


def plan(seen: Observed, settings: Settings, now: datetime) -> Plan:
    """Decide what to do about a run. The same facts give the same plan, whatever happened before."""
    if "deletionTimestamp" in seen.run["metadata"]:
        return Plan()  # everything it owns is deleted with it
    if seen.finished:
        return _tidy(seen, settings, now)
    reported = _reported(seen, now)
    if reported is not None:
        return reported
    if seen.begun:
        return called_off(seen, now) or _lost(seen, now) or _under_way(seen, settings, now)
    decision = admit(seen, settings)
    return _held_back(seen, decision, now) or called_off(seen, now) or _unbegun(seen, decision, settings, now)


# Over


def _tidy(seen: Observed, settings: Settings, now: datetime) -> Plan:
    """Workers go at once, the runner with its logs later, and the run when its own time is up."""
    plan = replace(_tidy_pods(seen, settings, now), status=_seen_anew(seen))
    left = history.left_seconds(seen.run, history.own_ttl_seconds(seen.run), now)
    tracked = history.is_tracked(seen.run)
    if left is None or (tracked and history.is_compact(seen.run)):
        return plan
    if left > 0:
        waits = [seconds for seconds in (plan.again_seconds, left) if seconds is not None]
        return replace(plan, again_seconds=min(waits))
    if tracked:
        return replace(plan, status={**(plan.status or {}), **history.compacted(seen.run, now)})
    return Plan(delete=(Delete(FLOW_RUN, seen.name, uid=seen.run["metadata"]["uid"]),))


def _seen_anew(seen: Observed) -> dict[str, Any] | None:
    """A result stays, and holds for a spec that was edited afterwards too: `kubectl wait` asks each condition."""
    generation = seen.run["metadata"]["generation"]
    conditions = [{**condition, "observedGeneration": generation} for condition in seen.status.get("conditions", [])]
    if seen.status.get("observedGeneration") == generation and seen.status.get("conditions", []) == conditions:
        return None
    return {"observedGeneration": generation, "conditions": conditions}


def _stop_workers(seen: Observed) -> tuple[Delete, ...]:
    if all("deletionTimestamp" in pod["metadata"] for pod in seen.workers):
        return ()
    return (Delete(POD, selector=f"{names.RUN_LABEL}={seen.name},{names.ROLE_LABEL}={names.WORKER}"),)


def _tidy_pods(seen: Observed, settings: Settings, now: datetime) -> Plan:
    delete = _stop_workers(seen)
    if seen.runner is None and (seen.secret or seen.address is not None):
        return Plan(delete=(*delete, *belongings(seen)))  # somebody took the pod away
    if seen.runner is None or "deletionTimestamp" in seen.runner["metadata"]:
        return Plan(delete=delete)
    finished_at = parse_timestamp(seen.status.get("finishedAt", timestamp(now)))
    left = (finished_at + timedelta(seconds=settings.keep_runner_seconds) - now).total_seconds()
    if left > 0:
        return Plan(delete=delete, again_seconds=left)
    # The pod goes last: it tells an operator that takes over that the rest may still be there.
    name = names.attempt_name(seen.name, seen.attempt)
    return Plan(delete=(*delete, *belongings(seen), Delete(POD, name)))


# Reported


def _reported(seen: Observed, now: datetime) -> Plan | None:
    report = seen.report
    if report is None:
        return None
    state = RunState(report["state"]) if report.get("state") in {str(s) for s in RunState} else RunState.CRASHED
    return finish(seen, state if state.finished else RunState.CRASHED, str(report.get("message", "")), now)


# Lost


def _lost(seen: Observed, now: datetime) -> Plan | None:
    if not seen.begun:
        return None
    if seen.runner is None:
        name = seen.status["attempt"]["podName"]
        return finish(seen, RunState.CRASHED, f"runner pod {name} is gone: it was deleted, or its node was", now)
    if pods.has_ended(seen.runner):
        how = pods.how_ended(seen.runner)
        name = seen.runner["metadata"]["name"]
        return finish(seen, RunState.CRASHED, f"runner pod {name} ended without a report: {how.message}", now)
    return None


# Unbegun


def _held_back(seen: Observed, decision: Decision, now: datetime) -> Plan | None:
    match decision:
        case Held(state, message):
            # Workers that it has, as its runner was refused, would keep room from those before it.
            return Plan(delete=_stop_workers(seen), status=status_of(seen, state, message, now))
        case Known(claim):
            words = f"run {claim.run} with the same idempotencyKey was executed: {claim.message}"
            return finish(seen, claim.state, words, now)
    return None


def _unbegun(seen: Observed, decision: Decision, settings: Settings, now: datetime) -> Plan:
    match decision:
        case Waiting(message):
            again = next_deadline_seconds(seen, now)
            return Plan(status=status_of(seen, RunState.PENDING, message, now), again_seconds=again)
        case Refused(message, state):
            ended = finish(seen, state, message, now)
            made = seen.secret or seen.address is not None
            # What is wrong with a run is found before anything is made for it. One that has to give way may have been
            # let begin by an operator that is there no more, and nobody may read its Secret.
            return replace(ended, delete=()) if state is RunState.FAILED and not made else ended
        case Admitted(version):
            return _begin(seen, version, settings, now)
    raise AssertionError("who is held back does not come here")


def _begin(seen: Observed, version: Manifest, settings: Settings, now: datetime) -> Plan:
    """First what the pods need to start, then all pods together."""
    workers = version["spec"].get("execution", {}).get("provisioner", "Pods") == "Pods"
    needs: list[Manifest] = []
    if not seen.account and not version["spec"].get("serviceAccountName"):
        needs += flow_account(namespace=seen.run["metadata"]["namespace"], settings=settings)
    if workers and seen.address is None:
        needs.append(scheduler_service(run=seen.run, version=version, attempt=seen.attempt))
    if not seen.secret:
        secret = attempt_secret(
            run=seen.run,
            version=version,
            attempt=seen.attempt,
            settings=settings,
            pair=seen.pair if workers else None,
            task_limits=seen.task_limits,
            resume_uid=seen.resumed["metadata"]["uid"] if seen.resumed is not None else "",
        )
        needs.append(secret)
    runner = runner_pod(run=seen.run, version=version, attempt=seen.attempt, settings=settings)
    made = tuple(needs) or (runner, *missing_workers(seen, version, settings))
    if seen.refusal is None or not seen.refusal.is_about(made):
        return Plan(create=made)
    return _refused(seen, seen.refusal, tuple(needs) or (runner,), now)


def _refused(seen: Observed, refusal: Refusal, made: tuple[Manifest, ...], now: datetime) -> Plan:
    """Something cannot be made: say so, and try again when it is time.

    Now the runner comes first, and the workers when it is there: those that got in before it may have its room.
    """
    return Plan(
        create=made if refusal.is_over(now) else (),
        delete=_stop_workers(seen),
        status=status_of(seen, RunState.PENDING, refusal.words("the pods are"), now),
        again_seconds=refusal.again_seconds(now),
    )


# Under way


def _under_way(seen: Observed, settings: Settings, now: datetime) -> Plan:
    assert seen.runner is not None, "a run without a runner is lost"
    create: tuple[Manifest, ...] = ()
    events: tuple[Event, ...] = ()
    retry = None
    if seen.version is not None and seen.wanted_workers > 0 and seen.address is None:
        create = (scheduler_service(run=seen.run, version=seen.version, attempt=seen.attempt),)
    elif seen.version is not None and (lacking := missing_workers(seen, seen.version, settings)):
        create, events = lacking, replaced(seen, lacking)
    if seen.refusal is not None and seen.refusal.is_about(create):
        retry = seen.refusal.again_seconds(now)
        create = create if seen.refusal.is_over(now) else ()
    state, message, again = how_it_goes(seen, now)
    waits = [seconds for seconds in (again, retry, next_deadline_seconds(seen, now)) if seconds is not None]
    status = status_of(seen, state, message, now)
    return Plan(create=create, status=status, again_seconds=min(waits, default=None), events=events)
