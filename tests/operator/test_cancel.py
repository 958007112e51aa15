"""What the operator decides about runs that are to stop, or that wait for a person, as values."""

from __future__ import annotations

from typing import Any

import pytest

from headwater_operator.kinds import POD
from headwater_operator.plans import Delete, Plan
from headwater_operator.runs.cancel import DEEPEST, Wish, wish_of
from headwater_operator.runs.facts import Observed
from headwater_operator.runs.plan import plan

BEGUN = {"timeline": {"firstTaskAt": "2026-11-23T12:00:02Z"}}


@pytest.fixture
def see(make):
    def build(cancel: Wish | None = None, pods: list[Any] | None = None, **status: Any) -> Observed:
        version = make.version(execution={"workers": 1})
        version["status"]["graph"] = {"tasks": [{"name": "deploy", "slug": "deploy-1"}]}
        run = make.run(status=make.begun(**status))
        pods = [make.runner(), make.worker(0)] if pods is None else pods
        return Observed(run, make.flow(), [version], pods, address="10.0.0.9", secret=True, cancel=cancel)

    return build


@pytest.fixture
def decide(make):
    return lambda seen, seconds=10.0: plan(seen, make.settings, make.at(seconds))


def test_what_runs_is_let_finish(see, decide, condition) -> None:
    made = decide(see(Wish("Cancel", "etl-1"), **BEGUN))
    assert made.delete == ()
    assert condition(made.status, "Succeeded") == (
        "Unknown",
        "Cancelling",
        "what runs is let finish (spec.cancel: Cancel); spec.cancel: Terminate stops it",
    )
    assert condition(made.status, "Reconciling")[:2] == ("True", "Cancelling")


def test_the_report_of_a_cancelled_runner_decides(see, decide, condition) -> None:
    report = {"state": "Cancelled", "message": "Cancelled: 1 of 5", "finishedAt": "2026-11-23T12:00:09Z"}
    made = decide(see(Wish("Cancel", "etl-1"), report=report, **BEGUN))
    assert condition(made.status, "Succeeded") == ("False", "Cancelled", "Cancelled: 1 of 5")
    assert condition(made.status, "Ready")[0] == "True", "nobody has to mend anything"
    report["state"] = "Success"
    made = decide(see(Wish("Cancel", "etl-1"), report=report, **BEGUN))
    assert condition(made.status, "Succeeded")[:2] == ("True", "Success"), "it was done already"


def test_terminated_pods_go_first_and_then_the_state_is_written(see, decide, condition, make) -> None:
    wish = Wish("Terminate", "etl-1")
    made = decide(see(wish, **BEGUN))
    assert made.status is None
    assert made.delete == (Delete(POD, "etl-1-a1"), Delete(POD, "etl-1-a1-w0"))
    tasks = [{"name": "deploy", "state": "Running"}, {"name": "ask", "state": "Paused"}]
    progress = {"text": "0/2", "total": 2, "running": 1, "paused": 1, "cancelled": 0, "failed": 0}
    made = decide(see(wish, pods=[], tasks=tasks, progress=progress, **BEGUN))
    assert condition(made.status, "Succeeded") == ("False", "Cancelled", "cancelled (spec.cancel: Terminate)")
    assert [task["state"] for task in made.status["tasks"]] == ["Cancelled", "Cancelled"]
    mapped = {"total": 9, "running": 2, "paused": 1, "retrying": 0, "pending": 5, "success": 1, "cancelled": 0}
    tasks.append({"name": "each", "state": "Running", "mapped": mapped, "pausedChildren": [{"index": 3}]})
    each = decide(see(wish, pods=[], tasks=tasks, progress=progress, **BEGUN)).status["tasks"][2]
    assert each["mapped"] == {**mapped, "running": 0, "paused": 0, "cancelled": 3}
    assert (each["state"], "pausedChildren" in each) == ("Cancelled", False)
    assert made.status["progress"] == {**progress, "text": "2/2", "running": 0, "paused": 0, "cancelled": 2}


def test_a_runner_that_has_not_started_need_not_be_asked(see, decide, make) -> None:
    waiting = make.pod("etl-1-a1", "runner", "Pending", state={"waiting": {"reason": "ImagePullBackOff"}})
    made = decide(see(Wish("Cancel", "etl-1"), pods=[waiting]))
    assert made.delete == (Delete(POD, "etl-1-a1"),)


@pytest.mark.parametrize("ended", [False, True], ids=["starts", "killed"])
def test_a_runner_that_starts_while_it_is_being_deleted_is_cancelled(see, decide, condition, make, ended) -> None:
    """The kubelet had begun to start it when its pod was taken away."""
    at = {"startedAt": "2026-11-23T12:00:09Z"}
    runner = make.runner("Running", state={"running": at})
    if ended:
        runner = make.runner("Failed", state={"terminated": {"exitCode": 137, "reason": "Error", **at}})
    runner["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:08Z"
    made = decide(see(Wish("Cancel", "etl-1"), pods=[runner]))
    if not ended:
        assert made == Plan(), "its pod is going"
        return
    words = "cancelled before its first task began (spec.cancel: Cancel)"
    assert condition(made.status, "Succeeded") == ("False", "Cancelled", words)


def test_what_cleans_up_does_not_wait_for_workers_where_nothing_has_begun(see, decide, make, condition) -> None:
    waiting = make.pod("etl-1-a1-w0", "worker", "Pending", state={"waiting": {"reason": "ImagePullBackOff"}})
    seen = see(Wish("Cancel", "etl-1"), pods=[make.runner(), waiting])
    assert decide(seen).delete == (Delete(POD, "etl-1-a1"), Delete(POD, "etl-1-a1-w0"))
    made = decide(see(Wish("Cancel", "etl-1"), pods=[]))
    assert condition(made.status, "Succeeded")[1:] == (
        "Cancelled",
        "cancelled before its first task began (spec.cancel: Cancel)",
    )
    seen = see(Wish("Cancel", "etl-1"), pods=[make.runner(), waiting], **BEGUN)
    made = decide(seen)
    assert made.delete == (), "a task has begun, and a worker that replaces a lost one may clean up"
    words = condition(made.status, "Succeeded")[2]
    assert words.startswith("what runs is let finish (spec.cancel: Cancel), but no worker runs: "), words
    assert words.endswith("; spec.cancel: Terminate stops it")


def test_a_run_that_has_not_begun_never_does(make, decide, condition) -> None:
    for flow in (make.flow(), None):
        seen = Observed(make.run(), flow, [], [], cancel=Wish("Cancel", "nightly"))
        made = decide(seen)
        assert made.create == ()
        assert condition(made.status, "Succeeded") == (
            "False",
            "Cancelled",
            "cancelled before it began (spec.cancel: Cancel of FlowRun nightly, which started it)",
        )


def test_a_run_says_for_whose_answer_it_waits(see, decide, condition) -> None:
    tasks = [{"name": "deploy", "slug": "deploy-1", "state": "Paused", "message": "to production?"}]
    progress = {"total": 2, "paused": 1, "pending": 1, "running": 0, "retrying": 0}
    made = decide(see(tasks=tasks, progress=progress, **BEGUN))
    assert condition(made.status, "Succeeded") == (
        "Unknown",
        "Paused",
        'task "deploy-1" waits for a person (headwater approve etl-1 deploy-1, or spec.decisions): to production?',
    )
    asked = condition(made.status, "Succeeded")[2]
    for more, words in (("running", "tasks are running"), ("retrying", "tasks wait for their next run")):
        made = decide(see(tasks=tasks, progress={**progress, more: 1}, **BEGUN))
        assert condition(made.status, "Succeeded")[1:] == ("Running", f"{words}; {asked}")


def test_a_run_says_which_children_wait_for_a_person(see, decide, condition) -> None:
    mapped = {"total": 9, "paused": 5, "success": 4}
    children = [{"index": index, "message": f"ship {index}?"} for index in (1, 4, 5, 7, 8)]
    tasks = [
        {"name": "ship", "state": "Running", "mapped": mapped, "pausedChildren": children},
        {"name": "deploy", "slug": "deploy-1", "state": "Paused"},
    ]
    made = decide(see(tasks=tasks, progress={"total": 10, "paused": 6}, **BEGUN))
    assert condition(made.status, "Succeeded")[1:] == (
        "Paused",
        'task "ship" [1, 4, 5 and 2 more], "deploy-1" wait for a person '
        "(headwater approve etl-1 ship --index 1, or spec.decisions): ship 1?",
    )


def test_a_decision_about_no_task_of_the_flow_is_told(see, decide, condition) -> None:
    seen = see(**BEGUN)
    seen.run["spec"]["decisions"] = [
        {"task": "deploy", "decision": "Approve"},
        {"task": "deplyo-1", "decision": "Approve"},
    ]
    words = condition(decide(seen).status, "Succeeded")[2]
    assert words == 'tasks are running; spec.decisions[1].task: the flow has no task "deplyo-1"'


def test_a_wish_holds_for_all_that_a_run_has_started(make) -> None:
    def owned(name: str, by: str | None, cancel: str = "") -> dict[str, Any]:
        run = make.run(name, cancel=cancel)
        if by is not None:
            run["metadata"]["ownerReferences"] = [{"kind": "FlowRun", "name": by, "uid": f"uid-{by}"}]
        return run

    runs = {"a": owned("a", None, "Terminate"), "b": owned("b", "a", "Cancel"), "c": owned("c", "b")}
    assert wish_of(runs["a"], runs.get) == Wish("Terminate", "a")
    assert wish_of(runs["c"], runs.get) == Wish("Terminate", "a"), "the stronger one"
    runs["a"]["spec"]["cancel"] = ""
    assert wish_of(runs["c"], runs.get) == Wish("Cancel", "b")
    assert wish_of(runs["a"], runs.get) is None, "a child's wish is its own"
    runs["b"]["metadata"]["uid"] = "another"
    assert wish_of(runs["c"], runs.get) is None, "a run of the same name that did not start it"


def test_runs_that_own_each_other_end_the_search(make) -> None:
    asked = []
    run = make.run("a")
    run["metadata"]["ownerReferences"] = [{"kind": "FlowRun", "name": "a", "uid": "uid-a"}]

    def get(name: str) -> dict[str, Any]:
        asked.append(name)
        return run

    assert wish_of(run, get) is None
    assert len(asked) <= DEEPEST
