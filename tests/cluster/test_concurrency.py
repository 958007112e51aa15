"""Limits on a real cluster: who begins, who waits and why, and that a limit holds whatever happens."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

NAP = """
    import time
    from headwater import Flow, Parameter, task

    @task
    def nap(seconds):
        time.sleep(seconds)

    with Flow("nap") as flow:
        nap(Parameter("seconds", default=0.5))
"""


def limits(**slots: str) -> dict[str, Any]:
    metadata = {"name": "limits", "labels": {"headwater.dev/role": "limits"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": slots}


def ready(project: Any, *flows: str) -> None:
    for flow in flows:
        project.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"flow/{flow}")


def running(project: Any, run: str) -> None:
    project.until(f"{run} runs", lambda: project.state(run)[0] == "Running")


def says(project: Any, run: str, state: str, message: str) -> None:
    project.until(f"{run} says: {message}", lambda: project.state(run) == (state, message), seconds=20)


def spans(project: Any, *runs: str) -> list[tuple[str, str]]:
    """When each was under way, by its pods and its end."""
    found = [project.get("flowrun", run)["status"] for run in runs]
    return [(status["timeline"]["admittedAt"], status["finishedAt"]) for status in found]


def one_after_another(project: Any, *runs: str) -> None:
    times = spans(project, *runs)
    assert all(before[1] <= after[0] for before, after in pairwise(times)), list(zip(runs, times, strict=True))


def test_a_queue_goes_by_priority_and_age_and_says_why_a_run_waits(project: Any) -> None:
    project.flow("nap", NAP, concurrency={"limit": 1})
    ready(project, "nap")
    project.run("a", "nap", parameters={"seconds": 6})
    running(project, "a")
    project.run("b", "nap")
    says(project, "b", "Queued", '1 of 1 runs of Flow "nap" is active; it is next')
    project.run("c", "nap")
    says(project, "c", "Queued", '1 of 1 runs of Flow "nap" is active; 1 is before it')
    project.run("urgent", "nap", priority=10)
    says(project, "urgent", "Queued", '1 of 1 runs of Flow "nap" is active; it is next')
    counts = {"active": 1, "queued": 3}
    project.until("the flow counts them", lambda: project.get("flow", "nap")["status"]["runs"] == counts)
    for run in ("a", "b", "c", "urgent"):
        assert project.finish(run)["status"]["conditions"][0]["reason"] == "Success"
    one_after_another(project, "a", "urgent", "b", "c")
    timeline = project.get("flowrun", "b")["status"]["timeline"]
    assert timeline["createdAt"] < timeline["releasedAt"] <= timeline["runnerStartedAt"]
    assert "releasedAt" not in project.get("flowrun", "a")["status"]["timeline"]
    ended, begun = (project.get("flowrun", run)["status"] for run in ("a", "urgent"))
    assert seconds_between(ended["finishedAt"], begun["timeline"]["admittedAt"]) < 3


def seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def test_skip_and_replace(project: Any) -> None:
    project.flow("skip", NAP, concurrency={"limit": 1, "policy": "Skip"})
    project.flow("replace", NAP, concurrency={"limit": 1, "policy": "Replace"})
    ready(project, "skip", "replace")
    project.run("skip-1", "skip", parameters={"seconds": 8})
    project.run("replace-1", "replace", parameters={"seconds": 300})
    running(project, "skip-1")
    running(project, "replace-1")

    project.run("skip-2", "skip")
    project.finish("skip-2", 10)
    assert project.state("skip-2") == ("Skipped", 'skipped: 1 of 1 runs of Flow "skip" is active')
    assert project.pods(run="skip-2") == []

    project.run("wrong", "replace", parameters={"radius": 5})
    project.finish("wrong", 10)
    assert project.state("replace-1")[0] == "Running", "nothing is stopped for a run that is refused"
    project.run("replace-2", "replace")
    old = project.finish("replace-1", 30)
    assert project.state("replace-1") == ("Cancelled", "replaced by run replace-2")
    assert {task["name"]: task["state"] for task in old["status"]["tasks"]} == {"nap": "Cancelled"}
    ready_now = {c["type"]: c["status"] for c in old["status"]["conditions"]}
    assert ready_now == {"Succeeded": "False", "Finished": "True", "Ready": "True"}
    project.finish("replace-2")
    assert project.state("replace-2")[0] == "Success"
    one_after_another(project, "replace-1", "replace-2")
    assert project.state("skip-1")[0] in ("Running", "Success")


def test_flows_share_a_limit_that_may_come_later_and_grow(project: Any) -> None:
    for name in ("left", "right"):
        project.flow(name, NAP, concurrency={"limits": [{"name": "warehouse"}]})
    ready(project, "left", "right")
    project.run("left-1", "left", parameters={"seconds": 6})
    words = (
        f'there is no limit "warehouse" in namespace "{project.name}": '
        "no ConfigMap with the label headwater.dev/role=limits has it"
    )
    says(project, "left-1", "Queued", words)
    project.apply(limits(warehouse="one"))
    words = 'limit "warehouse" in ConfigMap "limits" is "one"; it must be a number of slots, 0 to 1000000'
    says(project, "left-1", "Queued", words)
    project.apply(limits(warehouse="1"))
    running(project, "left-1")
    project.run("right-1", "right")
    says(project, "right-1", "Queued", '1 of 1 slots of limit "warehouse" are taken; it is next')
    project.run("right-2", "right", parameters={"seconds": 6})
    says(project, "right-2", "Queued", '1 of 1 slots of limit "warehouse" are taken; 1 is before it')
    project.finish("left-1")
    project.finish("right-1")
    one_after_another(project, "left-1", "right-1")
    project.run("left-2", "left")
    says(project, "left-2", "Queued", '1 of 1 slots of limit "warehouse" are taken; it is next')
    project.apply(limits(warehouse="2"))
    project.finish("left-2", 30)
    assert project.state("right-2")[0] in ("Submitted", "Running"), "with two slots both are under way"


def test_what_is_suspended_begins_when_it_is_let(project: Any) -> None:
    project.flow("nap", NAP, suspend=True)
    ready(project, "nap")
    project.run("a", "nap")
    project.run("b", "nap", suspend=True)
    says(project, "a", "Suspended", 'Flow "nap" is suspended (spec.suspend)')
    says(project, "b", "Suspended", 'FlowRun "b" is suspended (spec.suspend)')
    project.kubectl("patch", "flow", "nap", "--type=merge", "-p", json.dumps({"spec": {"suspend": False}}))
    project.finish("a", 30)
    assert project.state("b")[0] == "Suspended"
    project.kubectl("patch", "flowrun", "b", "--type=merge", "-p", json.dumps({"spec": {"suspend": False}}))
    project.finish("b", 30)
    assert {project.state(run)[0] for run in ("a", "b")} == {"Success"}


def test_a_limit_holds_while_the_operator_is_killed(project: Any, operator: str) -> None:
    project.flow("nap", NAP, concurrency={"limit": 2})
    ready(project, "nap")
    runs = [f"r{i}" for i in range(6)]
    for run in runs:
        project.run(run, "nap", parameters={"seconds": 2})
    for _ in range(2):
        project.until("two are under way", lambda: len(under_way(project)) == 2)
        pod = ("delete", "pod", "-n", operator, "-l", "app.kubernetes.io/component=operator")
        project.kubectl(*pod, "--grace-period=0", "--force")
    for run in runs:
        project.finish(run, 120)
        assert project.state(run)[0] == "Success"
    times = spans(project, *runs)
    most = max(sum(1 for begin, end in times if begin <= at < end) for at, _ in times)
    assert most == 2, times
    # Two that are let go in the same turn start at the same moment, in either order: a run is
    # held against the one two before it, as with two slots it cannot be let go before that one.
    begun = [begin for begin, _ in times]
    assert all(a < b for a, b in zip(begun, begun[2:], strict=False)), f"in the order in which they came: {begun}"


def under_way(project: Any) -> list[str]:
    return [
        r["metadata"]["name"] for r in project.list("flowruns") if r["status"].get("timeline", {}).get("firstTaskAt")
    ]
