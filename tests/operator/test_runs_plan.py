"""What the operator decides about a FlowRun, as values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from headwater.resources.conditions import RunState
from headwater_operator.kinds import POD, SECRET, SERVICE
from headwater_operator.plans import Delete, Plan, Refusal
from headwater_operator.runs.facts import Observed
from headwater_operator.runs.plan import plan
from headwater_operator.runs.queue import Stay

WORKERS = Delete(POD, selector="headwater.dev/run=etl-1,headwater.dev/role=worker")


@pytest.fixture
def see(make):
    """Facts about the ordinary run; keyword arguments replace parts."""

    def build(**parts: Any) -> Observed:
        from headwater.resources.versions import spec_hash, versioned

        flow = make.flow(execution={"workers": 2})
        frozen = versioned(flow["spec"], "")
        version = make.version(hash=spec_hash(frozen), execution={"workers": 2})
        facts = {"run": make.run(), "flow": flow, "versions": [version], "pods": [], **parts}
        return Observed(**facts)

    return build


@pytest.fixture
def decide(make):
    return lambda seen, seconds=0.0: plan(seen, make.settings, make.at(seconds))


def kinds(made: Plan) -> list[str]:
    return [f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in made.create]


def test_needs_come_first_then_all_pods_at_once(see, decide) -> None:
    assert kinds(decide(see())) == ["Service etl-1-a1", "Secret etl-1-a1"]
    assert kinds(decide(see(address="10.0.0.9", secret=True))) == [
        "Pod etl-1-a1",
        "Pod etl-1-a1-w0",
        "Pod etl-1-a1-w1",
    ]


def test_an_in_process_run_has_neither_service_nor_workers(see, decide, make) -> None:
    execution = {"provisioner": "InProcess"}
    from headwater.resources.versions import spec_hash, versioned

    flow = make.flow(execution=execution)
    version = make.version(hash=spec_hash(versioned(flow["spec"], "")), execution=execution)
    assert kinds(decide(see(flow=flow, versions=[version]))) == ["Secret etl-1-a1"]
    assert kinds(decide(see(flow=flow, versions=[version], secret=True))) == ["Pod etl-1-a1"]


def test_the_account_is_made_where_it_is_missing(see, decide) -> None:
    assert kinds(decide(see(account=False)))[0] == "ServiceAccount headwater-runner"


def test_workers_get_the_address_and_keep_no_token(see, decide) -> None:
    runner, worker, _ = decide(see(address="10.0.0.9", secret=True)).create
    env = {e["name"]: e.get("value") for e in worker["spec"]["containers"][0]["env"]}
    assert env["HEADWATER_SCHEDULER"] == "tcp://10.0.0.9:8786"
    assert [v["name"] for v in worker["spec"]["volumes"]] == ["scratch", "run"]
    assert [v["name"] for v in runner["spec"]["volumes"]] == ["scratch", "run", "token"]
    assert worker["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("case", "state", "message"),
    [
        ("no flow", "Pending", 'there is no Flow "etl" in namespace "sales"; the run begins when it is applied'),
        ("no version yet", "Pending", 'the version of Flow "etl" as it is now is being made'),
        ("inspecting", "Pending", "etl-v1 is not ready: 3 tasks"),
        ("unknown version", "Failed", 'Flow "etl" has no version 7; it has 1'),
        (
            "unknown parameter",
            "Failed",
            "spec.parameters.airprot: there is no such parameter; the flow takes airport, radius",
        ),
        (
            "a parameter called n in YAML",
            "Failed",
            "spec.parameters.false: there is no such parameter (YAML reads y, n, yes, no, on and off as booleans: "
            "quote such a name); the flow takes airport, radius",
        ),
        ("missing parameter", "Failed", "spec.parameters: airport must be given; the flow takes airport, radius"),
        ("broken version", "Failed", "etl-v1 cannot be used: the flow cannot be imported: NameError: x"),
    ],
)
def test_what_keeps_a_run_from_beginning_is_said(see, decide, make, condition, case, state, message) -> None:
    seen = see()
    match case:
        case "no flow":
            seen = replace(seen, flow=None, versions=[])
        case "no version yet":
            seen = replace(seen, versions=[])
        case "inspecting":
            seen.versions[0]["status"]["conditions"][0]["status"] = "Unknown"
        case "unknown version":
            seen = replace(seen, run=make.run(version=7))
        case "unknown parameter":
            seen = replace(seen, run=make.run(parameters={"airprot": "ZRH"}))
        case "a parameter called n in YAML":
            seen = replace(seen, run=make.run(parameters={"false": 1}))
        case "missing parameter":
            seen.versions[0]["status"]["parametersSchema"]["required"] = ["airport"]
        case "broken version":
            text = "the flow cannot be imported: NameError: x"
            seen.versions[0]["status"]["conditions"] = [
                {"type": "Ready", "status": "False", "reason": "InspectionFailed", "message": text}
            ]
    made = decide(seen)
    assert made.create == ()
    verdict = "Unknown" if state == "Pending" else "False"
    assert condition(made.status, "Succeeded") == (verdict, state, message)
    assert condition(made.status, "Finished")[0] == ("False" if state == "Pending" else "True")


@pytest.mark.parametrize(
    ("flow", "state", "words"),
    [
        ("sales", "Failed", 'spec.resumeFrom.run: FlowRun "etl-0" is of another Flow, "sales"; name one of this Flow'),
        (
            "etl",
            "Running",
            'spec.resumeFrom.run: FlowRun "etl-0" is not finished; wait for it or cancel it, then make a new run',
        ),
        ("etl", "Failed", None),
    ],
)
def test_a_run_goes_on_from_a_finished_one_of_its_own_flow(make, see, decide, condition, flow, state, words) -> None:
    resumed = make.run("etl-0", status={"conditions": make.conditions(RunState(state))})
    resumed["spec"]["flow"] = flow
    run = make.run(resumeFrom={"run": "etl-0"})
    made = decide(see(run=run, resumed=resumed))
    if words is not None:
        assert made.create == (), "nothing is made for it"
        assert condition(made.status, "Succeeded") == ("False", "Failed", words)
        return
    secret = next(made for made in made.create if made["kind"] == "Secret")
    told = json.loads(secret["stringData"]["run.json"])
    assert (told["uid"], told["resume_run"], told["resume_uid"]) == ("uid-etl-1", "etl-0", "uid-etl-0")


def test_a_null_parameter_counts_as_not_given(see, decide, make) -> None:
    seen = see(run=make.run(parameters={"airprot": None}))
    assert kinds(decide(seen)) == ["Service etl-1-a1", "Secret etl-1-a1"]


def test_a_run_that_waits_too_long_ends(see, decide, condition) -> None:
    seen = see(flow=None, versions=[])
    assert decide(seen, 100).again_seconds == 500
    made = decide(seen, 601)
    assert condition(made.status, "Succeeded") == ("False", "TimedOut", "no task began within 600 s: waiting")


def test_a_deadline_takes_the_pods_first_and_then_says_so(see, decide, make, condition) -> None:
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "acme/etl:1"'}}}
    status = make.begun(conditions=make.conditions(RunState.PENDING, 'image "acme/etl:1" cannot be pulled'))
    seen = see(run=make.run(status=status), pods=[make.runner("Pending", **waiting)], address="10.0.0.9", secret=True)
    assert decide(seen, 601) == Plan(delete=(Delete(POD, "etl-1-a1"),))
    assert decide(replace(seen, pods=[]), 602).status["conditions"][0]["message"] == (
        'no task began within 600 s: image "acme/etl:1" cannot be pulled'
    )


@pytest.mark.parametrize(
    ("waits", "state", "message"),
    [
        ({}, "Submitted", "the pods are starting"),
        (
            {"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}},
            "Pending",
            'image "acme/etl:1" cannot be pulled: not found',
        ),
        (
            {
                "state": {
                    "waiting": {
                        "reason": "ImagePullBackOff",
                        "message": 'Back-off pulling image "acme/etl:1": ErrImagePull: not found',
                    }
                }
            },
            "Pending",
            'image "acme/etl:1" cannot be pulled: not found',
        ),
        (
            {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret missing"}}},
            "Pending",
            "container flow waits: CreateContainerConfigError: secret missing",
        ),
    ],
)
def test_why_a_submitted_run_does_not_start(see, decide, make, condition, waits, state, message) -> None:
    waits = waits or {"state": {"waiting": {"reason": "ContainerCreating"}}}
    pods = [make.runner("Pending", **waits), make.worker(0, "Pending", **waits), make.worker(1, "Pending", **waits)]
    made = decide(see(run=make.run(status=make.begun()), pods=pods, address="10.0.0.9", secret=True))
    assert condition(made.status, "Succeeded")[1:] == (state, message)
    assert made.create == ()


def test_running_is_said_once_a_task_has_begun(see, decide, make, condition) -> None:
    timeline = {"createdAt": "x", "admittedAt": "2026-11-23T12:00:00Z", "firstTaskAt": "2026-11-23T12:00:02Z"}
    pods = [make.runner(), make.worker(0), make.worker(1)]
    seen = see(run=make.run(status=make.begun(timeline=timeline)), pods=pods, address="10.0.0.9", secret=True)
    early = decide(seen, 2.1)
    assert condition(early.status, "Succeeded")[1] == "Submitted"
    assert early.again_seconds == pytest.approx(0.41)
    later = decide(seen, 3)
    assert condition(later.status, "Succeeded") == ("Unknown", "Running", "tasks are running")
    assert later.status["timeline"]["runnerStartedAt"] == "2026-11-23T12:00:01Z"


def test_a_lost_worker_is_replaced_under_a_new_name(see, decide, make) -> None:
    dead = make.worker(0, "Failed", state={"terminated": {"reason": "OOMKilled", "exitCode": 137}})
    gone = make.worker(1)
    gone["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:05Z"
    seen = see(run=make.run(status=make.begun()), pods=[make.runner(), dead, gone], address="10.0.0.9", secret=True)
    assert kinds(decide(seen, 5)) == ["Pod etl-1-a1-w2", "Pod etl-1-a1-w3"]


def test_workers_that_die_again_and_again_end_the_run_pods_first(see, decide, make, condition) -> None:
    dead = [make.worker(i, "Failed", state={"terminated": {"reason": "OOMKilled", "exitCode": 137}}) for i in range(7)]
    seen = see(run=make.run(status=make.begun()), pods=[make.runner(), *dead], address="10.0.0.9", secret=True)
    assert decide(seen, 5) == Plan(delete=(Delete(POD, "etl-1-a1"),))
    made = decide(replace(seen, pods=dead), 6)
    assert condition(made.status, "Succeeded") == (
        "False",
        "Crashed",
        "7 workers were lost, the last, etl-1-a1-w0: OOMKilled with exit code 137",
    )


@pytest.mark.parametrize(
    ("how", "state", "message"),
    [
        ("report", "Success", "All 3 tasks succeeded"),
        ("last word", "Failed", 'Task "bad" failed'),
        ("oom", "Crashed", "runner pod etl-1-a1 ended without a report: OOMKilled with exit code 137"),
        ("evicted", "Crashed", "runner pod etl-1-a1 ended without a report: Evicted: low on memory"),
        ("gone", "Crashed", "runner pod etl-1-a1 is gone: it was deleted, or its node was"),
    ],
)
def test_how_a_run_ends(see, decide, make, condition, how, state, message) -> None:
    status = make.begun()
    runner = make.runner()
    match how:
        case "report":
            status["report"] = {"state": "Success", "message": message, "finishedAt": "2026-11-23T12:00:09Z"}
        case "last word":
            word = '{"state": "Failed", "message": "Task \\"bad\\" failed", "finishedAt": "2026-11-23T12:00:09Z"}'
            runner = make.runner("Failed", state={"terminated": {"reason": "Error", "exitCode": 1, "message": word}})
        case "oom":
            runner = make.runner("Failed", state={"terminated": {"reason": "OOMKilled", "exitCode": 137}})
        case "evicted":
            runner = make.runner("Failed")
            runner["status"] = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
    pods = [] if how == "gone" else [runner]
    made = decide(see(run=make.run(status=status), pods=pods, address="10.0.0.9", secret=True), 10)
    assert condition(made.status, "Succeeded") == ("True" if state == "Success" else "False", state, message)
    assert condition(made.status, "Finished")[0] == "True"
    assert made.create == ()
    gone = (Delete(SERVICE, "etl-1-a1"), Delete(SECRET, "etl-1-a1"))
    assert made.delete == (gone if how == "gone" else ()), "what goes with the runner goes when it does"
    assert made.status["finishedAt"].startswith("2026-11-23T12:00:")


@pytest.mark.parametrize(("timeout", "ended"), [(None, "Crashed"), (5, "TimedOut")])
def test_nothing_is_left_running_in_a_finished_run(see, decide, make, timeout, ended) -> None:
    tasks = [
        {"name": "a", "state": "Success"},
        {"name": "b", "state": "Running", "runs": 1},
        {"name": "c", "state": "Pending"},
    ]
    progress = {"text": "1/3", "total": 3, "success": 1, "running": 1, "pending": 1, "failed": 0, "retrying": 0}
    status = make.begun(tasks=tasks, progress=progress)
    version = make.version()
    if timeout is not None:
        version["spec"]["timeoutSeconds"] = timeout
    made = decide(see(run=make.run(status=status), pods=[], versions=[version]), 10)
    state = next(c for c in made.status["conditions"] if c["type"] == "Succeeded")
    assert state["reason"] == ended
    assert [task["state"] for task in made.status["tasks"]] == ["Success", ended, "Pending"]
    assert made.status["progress"] == {**progress, "text": "2/3", "running": 0, "failed": 1}


def test_a_failed_run_says_how_its_worker_ended(see, decide, make, condition) -> None:
    report = {
        "state": "Failed",
        "message": 'Task "a" crashed: the worker went away',
        "finishedAt": "2026-11-23T12:00:09Z",
    }
    dead = make.worker(0, "Failed", state={"terminated": {"reason": "Error", "exitCode": 3}})
    seen = see(run=make.run(status=make.begun(report=report)), pods=[make.runner(), dead, make.worker(1)])
    words = condition(decide(seen, 10).status, "Succeeded")[2]
    assert words == 'Task "a" crashed: the worker went away; worker pod etl-1-a1-w0: it ended with exit code 3'


def test_a_finished_run_drops_its_workers_at_once_and_its_runner_later(see, decide, make) -> None:
    status = make.begun(conditions=make.conditions(RunState.SUCCESS, "done"), finishedAt="2026-11-23T12:00:09Z")
    status["observedGeneration"] = 1
    seen = see(run=make.run(status=status), pods=[make.runner("Succeeded"), make.worker(0), make.worker(1)])
    assert decide(seen, 10) == Plan(delete=(WORKERS,), again_seconds=3599)
    left = replace(seen, pods=[make.runner("Succeeded")])
    assert decide(left, 3609) == Plan(
        delete=(Delete(SERVICE, "etl-1-a1"), Delete(SECRET, "etl-1-a1"), Delete(POD, "etl-1-a1"))
    )
    assert decide(replace(seen, pods=[]), 4000) == Plan()


def test_a_finished_run_is_never_begun_again(see, decide, make) -> None:
    status = {"conditions": make.conditions(RunState.FAILED, "no"), "finishedAt": "2026-11-23T12:00:09Z"}
    status["observedGeneration"] = 1
    assert decide(see(run=make.run(status=status)), 10) == Plan()


def test_a_restarted_operator_goes_by_the_runner_that_exists(see, decide, make) -> None:
    """The operator died between making the pods and writing the status; the flow has a newer version now."""
    seen = see(pods=[make.runner()], address="10.0.0.9")
    seen.versions.append(make.version(2, hash="other"))
    made = decide(seen, 1)
    assert kinds(made) == ["Pod etl-1-a1-w0", "Pod etl-1-a1-w1"]
    assert made.status["version"]["name"] == "etl-v1"
    assert made.status["attempt"]["podUID"] == "uid-etl-1-a1"


def test_a_timeout_ends_the_run(see, decide, make, condition) -> None:
    seen = see(run=make.run(status=make.begun()), pods=[])
    seen.versions[0]["spec"]["timeoutSeconds"] = 30
    made = decide(seen, 31)
    assert condition(made.status, "Succeeded")[1:] == ("TimedOut", "the run took longer than its timeoutSeconds, 30 s")


def test_a_run_being_deleted_is_left_alone(see, decide, make) -> None:
    run = make.run()
    run["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:09Z"
    assert decide(see(run=run)) == Plan()


def test_a_refused_pod_is_said_and_tried_again(see, decide, condition) -> None:
    made = decide(see(address="10.0.0.9", secret=True, refusal=Refusal("exceeded quota: compute")))
    words = "the pods are refused: exceeded quota: compute; it is tried again"
    assert condition(made.status, "Succeeded")[1:] == ("Pending", words)
    assert made.again_seconds == 5
    assert kinds(made) == ["Pod etl-1-a1"], "the workers come when it is there"


def test_workers_do_not_keep_the_room_of_a_refused_runner(see, decide, make) -> None:
    parts = {"address": "10.0.0.9", "secret": True, "pods": [make.worker(0), make.worker(1)]}
    refusal = Refusal("exceeded quota: compute").put_off(None, make.at(0))
    early, late = (decide(see(refusal=refusal, **parts), seconds) for seconds in (1, 6))
    assert (kinds(early), early.delete) == ([], (WORKERS,))
    assert (kinds(late), late.delete) == (["Pod etl-1-a1"], (WORKERS,))
    for pod in parts["pods"]:
        pod["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:01Z"
    assert decide(see(refusal=refusal, **parts), 6).delete == ()


def test_a_run_that_is_held_back_keeps_no_workers(see, decide, make, condition) -> None:
    made = decide(see(pods=[make.worker(0)], turn=Stay("it is next")))
    assert condition(made.status, "Succeeded")[1] == "Queued"
    assert made.delete == (WORKERS,)


def test_pods_that_can_never_be_made_end_the_run_pods_first(see, decide, make, condition) -> None:
    refusal = Refusal(
        'Pod "etl-1-a1-w0" is invalid: spec.containers[0].volumeMounts[3].name: Not found', permanent=True
    )
    seen = see(
        run=make.run(status=make.begun()), pods=[make.runner()], address="10.0.0.9", secret=True, refusal=refusal
    )
    assert decide(seen, 1) == Plan(delete=(Delete(POD, "etl-1-a1"),))
    made = decide(replace(seen, pods=[]), 2)
    assert condition(made.status, "Succeeded")[1:] == ("Failed", f"the pods are refused: {refusal.message}")


@pytest.fixture
def orphan(see, decide, make):
    """A run under way whose Flow is deleted, and its version with it."""
    begun = make.begun(timeline={"firstTaskAt": "2026-11-23T12:00:02Z"})
    pods = [make.runner(), make.worker(0), make.worker(1)]
    seen = see(
        run=make.run(status=begun), versions=[make.version(execution={"workers": 2}, timeoutSeconds=60)], pods=pods
    )
    begun["attempt"] = decide(seen, 3).status["attempt"]
    return replace(seen, run=make.run(status=begun), flow=None, versions=[], address="10.0.0.9")


def test_a_run_outlives_its_flow_while_it_has_workers(orphan, decide, make, condition) -> None:
    made = decide(orphan, 10)
    assert condition(made.status, "Succeeded")[1:] == ("Running", "tasks are running")
    assert made.again_seconds == 50, "until its timeout"
    one = replace(orphan, pods=[orphan.runner, make.worker(1)])
    made = decide(one, 10)
    assert made.create == ()
    words = 'Flow "etl" was deleted, and with it the version that this run is of'
    assert condition(made.status, "Succeeded")[2] == (f"running with 1 of 2 workers, and no other can be made: {words}")
    none = replace(orphan, pods=[orphan.runner])
    assert decide(none, 10).delete == (Delete(POD, "etl-1-a1"),)
    ended = decide(replace(none, pods=[]), 10)
    assert condition(ended.status, "Succeeded")[1:] == (
        "Crashed",
        f"no worker is left, and none can be made: {words}",
    )


def test_a_run_whose_flow_is_deleted_keeps_its_timeout(orphan, decide, condition) -> None:
    assert [delete.name for delete in decide(orphan, 61).delete] == ["etl-1-a1", "etl-1-a1-w0", "etl-1-a1-w1"]
    made = decide(replace(orphan, pods=[]), 62)
    assert condition(made.status, "Succeeded")[1] == "TimedOut"


def test_a_version_of_another_flow_of_the_name_is_not_the_runs_own(orphan, decide, make) -> None:
    version = make.version(execution={"workers": 2})
    one = replace(orphan, pods=[orphan.runner, make.worker(1)])
    assert kinds(decide(replace(one, versions=[version]), 10)) == ["Pod etl-1-a1-w0"]
    version["metadata"]["creationTimestamp"] = "2026-11-23T12:00:05Z"
    assert kinds(decide(replace(one, versions=[version]), 10)) == []
