"""What the operator decides about runs that are held back, replaced, known by their key, or whose time is up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headwater.resources.conditions import RunState
from headwater.resources.versions import spec_hash, versioned
from headwater_operator.kinds import FLOW_RUN, POD, SECRET, SERVICE
from headwater_operator.plans import Delete, Plan
from headwater_operator.runs.claims import Claim, claim_map, read_claim, rivals, surplus
from headwater_operator.runs.facts import Observed
from headwater_operator.runs.plan import plan
from headwater_operator.runs.queue import Go, Leave, Stay

IN_PROCESS = {"provisioner": "InProcess"}


@pytest.fixture
def see(make):
    """Facts about a run that may begin; keyword arguments replace parts."""

    def build(flow: dict[str, Any] | None = None, **parts: Any) -> Observed:
        flow = make.flow(execution=IN_PROCESS, **(flow or {}))
        version = make.version(hash=spec_hash(versioned(flow["spec"], "")), execution=IN_PROCESS)
        return Observed(**{"run": make.run(), "flow": flow, "versions": [version], "pods": [], **parts})

    return build


@pytest.fixture
def decide(make):
    return lambda seen, seconds=0.0: plan(seen, make.settings, make.at(seconds))


def names(made: Plan) -> list[str]:
    return [f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in made.create]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"turn": Stay("it is next")}, ("Unknown", "Queued", "it is next")),
        ({"rival": "etl-0"}, ("Unknown", "Queued", "run etl-0 with the same idempotencyKey goes first")),
        ({"run": {"suspend": True}}, ("Unknown", "Suspended", 'FlowRun "etl-1" is suspended (spec.suspend)')),
        ({"flow": {"suspend": True}}, ("Unknown", "Suspended", 'Flow "etl" is suspended (spec.suspend)')),
        ({"turn": Leave(RunState.SKIPPED, "skipped: full")}, ("True", "Skipped", "skipped: full")),
        ({"turn": Leave(RunState.CANCELLED, "replaced by run b")}, ("False", "Cancelled", "replaced by run b")),
    ],
)
def test_a_run_that_may_not_begin_says_why(see, decide, make, condition, parts, said) -> None:
    if "run" in parts:
        parts = {"run": make.run(**parts["run"])}
    made = decide(see(**parts))
    assert condition(made.status, "Succeeded") == said
    finished = said[0] != "Unknown"
    # What another operator may have made for it.
    left = (Delete(SERVICE, "etl-1-a1"), Delete(SECRET, "etl-1-a1"))
    assert (made.create, made.delete) == ((), left if finished else ())
    assert condition(made.status, "Ready")[0] == ("True" if finished else "False")
    assert "Stalled" not in [c["type"] for c in made.status["conditions"]]


def test_whose_turn_it_is_begins(see, decide) -> None:
    assert names(decide(see(turn=Go()))) == ["Secret etl-1-a1"]
    assert names(decide(see(turn=Go(), secret=True))) == ["Pod etl-1-a1"]


def test_what_is_wrong_with_a_run_is_told_before_it_waits(see, decide, make, condition) -> None:
    made = decide(see(run=make.run(parameters={"airprot": 1}), turn=Stay("it is next")))
    assert condition(made.status, "Succeeded")[1] == "Failed"


def test_no_deadline_passes_while_a_run_is_held_back(see, decide, make, condition) -> None:
    waiting = make.run(status={"conditions": make.conditions(RunState.QUEUED, "it is next")})
    assert condition(decide(see(run=waiting, turn=Stay("it is next")), 9999).status, "Succeeded")[1] == "Queued"
    unseen = see(turn=Stay("it is next"))
    assert condition(decide(unseen, 9999).status, "Succeeded")[1] == "Queued", "nor while the operator is away"
    assert names(decide(see(run=waiting, turn=Go()), 9999)) == ["Secret etl-1-a1"]


def test_the_deadline_counts_from_when_nothing_held_the_run_back(see, decide, make, condition) -> None:
    status = make.begun(conditions=make.conditions(RunState.QUEUED, "it is next"))
    begun = see(run=make.run(status=status), pods=[make.runner("Pending")])
    made = decide(begun, 5000)
    assert made.status["timeline"]["releasedAt"] == "2026-11-23T13:23:20.000000Z"
    status = make.begun(conditions=make.conditions(RunState.SUBMITTED, "x"))
    status["timeline"]["releasedAt"] = "2026-11-23T13:23:20.000000Z"
    begun = replace(begun, run=make.run(status=status))
    assert decide(begun, 5100).again_seconds == 500
    assert decide(begun, 5601) == Plan(delete=(Delete(POD, "etl-1-a1"),))


def test_the_deadline_counts_from_when_the_first_tasks_got_slots(see, decide, make, condition) -> None:
    def asking(reason: RunState, wanted: int, held: int) -> Observed:
        demand = {"serial": 1, "tags": [{"name": "db", "wanted": wanted, "held": held}]}
        status = make.begun(conditions=make.conditions(reason, "x"), taskDemand=demand)
        return see(run=make.run(status=status), pods=[make.runner()])

    waits = decide(asking(RunState.SUBMITTED, 1, 0), 500)
    assert condition(waits.status, "Succeeded")[1:] == ("Running", 'tasks wait for a slot of tag "db"')
    assert "releasedAt" not in waits.status["timeline"]
    assert "releasedAt" not in decide(asking(RunState.RUNNING, 1, 0), 5000).status["timeline"]
    granted = decide(asking(RunState.RUNNING, 1, 1), 5000)
    assert condition(granted.status, "Succeeded")[1] == "Submitted", "it is not over: its task is about to begin"
    assert granted.status["timeline"]["releasedAt"] == "2026-11-23T13:23:20.000000Z"
    seen = asking(RunState.SUBMITTED, 1, 1)
    seen.run["status"]["timeline"]["releasedAt"] = granted.status["timeline"]["releasedAt"]
    assert decide(seen, 5100).again_seconds == 500
    assert decide(seen, 5601).delete == (Delete(POD, "etl-1-a1"),)


def test_a_replaced_run_stops_first_and_then_says_so(see, decide, make, condition) -> None:
    tasks = [{"name": "a", "state": "Running"}]
    status = make.begun(tasks=tasks, progress={"total": 1, "running": 1})
    seen = see(run=make.run(status=status), pods=[make.runner()], replaced_by="etl-2")
    assert decide(seen) == Plan(delete=(Delete(POD, "etl-1-a1"),))
    made = decide(replace(seen, pods=[make.runner("Failed")]))
    assert condition(made.status, "Succeeded") == ("False", "Cancelled", "replaced by run etl-2")
    assert made.status["tasks"] == [
        {"name": "a", "state": "Cancelled", "message": "It was under way when its run was cancelled."}
    ]


# Keys


def report(state: str = "Success") -> dict[str, Any]:
    return {"state": state, "message": "All 3 tasks succeeded\nmore", "finishedAt": "2026-11-23T12:00:09Z"}


def test_the_state_of_a_key_is_kept_before_the_run_says_it(see, decide, make) -> None:
    run = make.run(status=make.begun(report=report()), idempotencyKey="monday")
    (claim,) = decide(see(run=run, pods=[make.runner("Succeeded")])).create
    assert claim["kind"] == "ConfigMap"
    assert claim["metadata"]["name"].startswith("etl-key-")
    assert claim["metadata"]["ownerReferences"][0]["uid"] == "uid-etl"
    assert claim["metadata"]["labels"]["headwater.dev/role"] == "claim"
    assert claim["immutable"] is True
    assert claim["data"]["key"] == "monday"
    assert read_claim(claim) == Claim("etl-1", RunState.SUCCESS, "All 3 tasks succeeded", "2026-11-23T12:00:09Z")


@pytest.mark.parametrize("parts", [{"flow": None}, {"run": "without a key"}, {"run": "not begun"}])
def test_what_leaves_no_claim(see, decide, make, parts) -> None:
    run = make.run(status=make.begun(report=report()), idempotencyKey="monday")
    seen = see(run=run, pods=[make.runner("Succeeded")])
    match parts:
        case {"flow": None}:
            seen = replace(seen, flow=None)
        case {"run": "without a key"}:
            seen = replace(seen, run=make.run(status=make.begun(report=report())))
        case {"run": "not begun"}:
            seen = see(run=make.run(idempotencyKey="monday", parameters={"x": 1}))
    assert decide(seen).create == ()


@pytest.mark.parametrize(
    ("timeline", "seconds", "ends", "claimed"),
    [
        ({}, 700, "TimedOut", False),
        ({"runnerStartedAt": "2026-11-23T12:00:01Z"}, 700, "TimedOut", False),
        ({"firstTaskAt": "2026-11-23T12:00:02Z"}, 5, "Crashed", True),
        ({"runnerStartedAt": "2026-11-23T12:00:01Z"}, 5, "Crashed", True),
        ({}, 5, "Crashed", False),
    ],
)
def test_a_key_counts_once_a_task_may_have_begun(
    see, decide, make, condition, timeline, seconds, ends, claimed
) -> None:
    status = make.begun()
    status["timeline"] |= timeline
    made = decide(see(run=make.run(status=status, idempotencyKey="monday")), seconds)
    assert condition(made.status, "Succeeded")[1] == ends
    assert len(made.create) == claimed


@pytest.mark.parametrize(("state", "verdict"), [("Success", "True"), ("Failed", "False")])
def test_a_run_of_a_known_key_goes_straight_to_its_state(see, decide, make, condition, state, verdict) -> None:
    words = {"message": "so it was", "finished_at": "2026-11-23T11:00:00Z"}
    claim = claim_map(run=make.run("etl-0", idempotencyKey="k"), flow=make.flow(), state=RunState(state), **words)
    made = decide(see(run=make.run(idempotencyKey="k", suspend=True), claim=claim))
    said = "run etl-0 with the same idempotencyKey was executed: so it was"
    assert condition(made.status, "Succeeded") == (verdict, state, said)
    assert made.create == ()


def test_of_two_runs_with_one_key_the_older_goes_first(make) -> None:
    a, b, other = (make.run(name, idempotencyKey=key) for name, key in (("a", "k"), ("b", "k"), ("c", "other")))
    done = make.run("d", idempotencyKey="k", status={"conditions": make.conditions(RunState.FAILED, "no")})
    everyone = [a, b, other, done]
    assert rivals([*everyone, make.run("x")], frozenset()) == {"uid-b": "a"}
    assert rivals(everyone, {"uid-b"})["uid-a"] == "b", "unless the younger has begun"


def test_old_claims_go(make) -> None:
    claims = [{"metadata": {"name": f"c{i:04d}", "creationTimestamp": f"2026-{i:05d}"}} for i in range(1003)]
    assert surplus(claims) == ["c0000", "c0001", "c0002"]


# The time of a run itself


def finished(make, **more: Any) -> dict[str, Any]:
    status = {"conditions": make.conditions(RunState.SUCCESS, "ok"), "finishedAt": "2026-11-23T12:00:09Z"}
    return make.run(status={**status, "observedGeneration": 1}, **more)


def test_a_run_goes_when_its_own_time_is_up(see, decide, make) -> None:
    seen = see(run=finished(make, ttlSecondsAfterFinished=60))
    assert decide(seen, 10) == Plan(again_seconds=59)
    assert decide(seen, 69) == Plan(delete=(Delete(FLOW_RUN, "etl-1", uid="uid-etl-1"),))
    assert decide(see(run=finished(make)), 10**9) == Plan()


def test_a_run_of_a_gitops_tool_is_compacted_once(see, decide, make) -> None:
    run = finished(make, ttlSecondsAfterFinished=0)
    run["metadata"]["labels"] = {"kustomize.toolkit.fluxcd.io/name": "apps"}
    run["status"]["tasks"] = [{"name": "a", "state": "Success"}]
    made = decide(see(run=run), 10)
    assert made == Plan(status={"tasks": None, "compactedAt": "2026-11-23T12:00:10.000000Z"})
    run["status"] = {k: v for k, v in {**run["status"], **made.status}.items() if v is not None}
    assert decide(see(run=run), 20) == Plan()


def test_a_finished_run_that_was_edited_is_said_to_be_seen(see, decide, make) -> None:
    run = finished(make)
    run["metadata"]["generation"] = 2
    conditions = [{**condition, "observedGeneration": 2} for condition in run["status"]["conditions"]]
    assert {c["observedGeneration"] for c in run["status"]["conditions"]} == {1}
    expected = Plan(status={"observedGeneration": 2, "conditions": conditions})
    assert decide(see(run=run), 10) == expected, "kubectl wait goes by each condition's generation"
    run["status"]["observedGeneration"] = 2
    assert decide(see(run=run), 10) == expected, "also where only the status tells of it"
    run["status"] |= expected.status
    assert decide(see(run=run), 10) == Plan()


def test_a_run_that_is_replaced_at_once_is_noted_as_begun_before_its_pod_goes(make) -> None:
    """Without its pod it would be let begin once more."""
    facts = {"flow": make.flow(), "versions": [make.version(execution={"provisioner": "InProcess"})]}
    seen = Observed(make.run(), pods=[make.runner()], secret=True, replaced_by="etl-2", **facts)
    first = plan(seen, make.settings, make.at(1))
    assert first.delete == ()
    assert first.status is not None
    assert first.status["attempt"]["podName"] == "etl-1-a1"
    noted = Observed(make.run(status=first.status), pods=[make.runner()], secret=True, replaced_by="etl-2", **facts)
    assert plan(noted, make.settings, make.at(1)).delete == (Delete(POD, "etl-1-a1"),)
