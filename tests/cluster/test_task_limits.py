"""Tags of tasks with a limit: so many tasks at a time in all runs of a namespace, and no worker waits."""

from __future__ import annotations

import itertools
import re
from datetime import datetime
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

EXECUTIONS = {"Pods": {"workers": 1, "threadsPerWorker": 2}, "InProcess": {"provisioner": "InProcess"}}

WRITES = """
    import time
    from headwater import Flow, task

    @task(tags=["warehouse"])
    def write(number):
        began = time.time()
        time.sleep(0.4)
        print(f"wrote {began} {time.time()}", flush=True)

    @task
    def other(number):
        print(f"other {time.time()}", flush=True)

    with Flow("writes") as flow:
        write.map([1, 2, 3, 4])
        other.map([1, 2, 3])
"""


def limits(project: Any, **tags: str) -> None:
    labels = {"headwater.dev/role": "task-limits"}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tags", "labels": labels}, "data": tags}
    project.apply(manifest)


def log_of(project: Any, run: str) -> str:
    # The lines of workers come with the runner's.
    return str(project.kubectl("logs", project.get("flowrun", run)["status"]["attempt"]["podName"]).stdout)


def writes(project: Any, run: str) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in re.findall(r"wrote ([\d.]+) ([\d.]+)", log_of(project, run))]


def message_of(project: Any, run: str, name: str) -> str | None:
    (entry,) = [task for task in project.get("flowrun", run)["status"]["tasks"] if task["name"] == name]
    found: str | None = entry.get("message")
    return found


def most_at_a_time(spans: list[tuple[float, float]]) -> int:
    changes = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    return max(itertools.accumulate(change for _, change in changes))


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_runs_share_the_slots_of_a_tag(project: Any, execution: str) -> None:
    limits(project, warehouse="1")
    project.flow("writes", WRITES, execution=EXECUTIONS[execution])
    for name in ("one", "two"):
        project.run(name, "writes")
    spans = []
    for name in ("one", "two"):
        run = project.finish(name)
        assert project.state(name)[0] == "Success", project.state(name)
        assert "taskDemand" not in run["status"]
        found = writes(project, name)
        assert len(found) == 4
        spans += found
    assert most_at_a_time(spans) == 1


def test_who_waits_says_so_and_goes_on_when_the_limit_is_larger(project: Any) -> None:
    """No deadline passes, the others run, and a limit that is no number is told of."""
    limits(project, warehouse="0")
    # There is one place for tasks, which those that wait must not take.
    project.flow("writes", WRITES, execution={"workers": 1}, startDeadlineSeconds=30)
    project.run("one", "writes")
    project.until(
        "the others have run", lambda: project.get("flowrun", "one")["status"].get("progress", {}).get("text") == "5/9"
    )
    words = 'tasks wait for a slot of tag "warehouse" (of 0 in the namespace)'
    project.until("the run says so", lambda: project.state("one") == ("Running", words))
    waits = 'Waits for a slot of tag "warehouse" (of 0 in the namespace)'
    project.until("the task says so", lambda: message_of(project, "one", "write") == waits)
    limits(project, warehouse="many")
    project.until(
        "what is wrong is told", lambda: 'limit "warehouse" in ConfigMap "tags" is "many"' in project.state("one")[1]
    )
    limits(project, warehouse="2")
    project.finish("one")
    assert project.state("one")[0] == "Success"
    assert most_at_a_time(writes(project, "one")) <= 2


def test_a_run_that_is_stopped_gives_its_slots_back(project: Any) -> None:
    limits(project, warehouse="1")
    project.flow("holds", WRITES.replace("sleep(0.4)", "sleep(600)"))
    project.flow("writes", WRITES)
    for number, end in enumerate(("terminate", "delete")):
        project.run(f"holds-{number}", "holds")
        holder = f"holds-{number}"
        project.until(
            "it has the slot",
            lambda holder=holder: project.get("flowrun", holder)["status"].get("timeline", {}).get("firstTaskAt"),
        )
        project.run(f"writes-{number}", "writes")
        waiting = f"writes-{number}"
        project.until("another waits", lambda waiting=waiting: "wait for a slot" in project.state(waiting)[1])
        if end == "delete":
            project.kubectl("delete", "flowrun", holder)
        else:
            project.kubectl("patch", "flowrun", holder, "--type=merge", "-p", '{"spec": {"cancel": "Terminate"}}')
        project.finish(waiting)
        assert project.state(waiting)[0] == "Success"
        ended = datetime.fromisoformat(project.get("flowrun", waiting)["status"]["finishedAt"])
        assert ended.timestamp() >= writes(project, waiting)[-1][1] - 1


def test_an_operator_that_comes_back_knows_who_has_slots(project: Any, kubectl: Any, operator: str) -> None:
    limits(project, warehouse="1")
    project.flow("holds", WRITES.replace("sleep(0.4)", "sleep(6)").replace("[1, 2, 3, 4]", "[1]"))
    project.flow("writes", WRITES)
    project.run("one", "holds")
    project.until("it has the slot", lambda: project.get("flowrun", "one")["status"].get("progress", {}).get("running"))
    kubectl("-n", operator, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--wait=false")
    project.run("two", "writes")
    project.finish("one")
    project.finish("two")
    assert most_at_a_time(writes(project, "one") + writes(project, "two")) == 1


def test_a_run_that_gets_its_workers_late_uses_them_at_once(project: Any) -> None:
    """A quota lets in two pods of four: the runner has to be one of them, and tasks begin on the others as they join."""
    limits(project, warehouse="8")
    project.flow("holds", WRITES.replace("sleep(0.4)", "sleep(600)"), execution={"workers": 3})
    project.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "flow/holds")
    project.until("the inspection is gone", lambda: not project.pods(role="inspection"))
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}}
    project.apply(quota)
    project.until("the quota counts", lambda: "used" in project.get("resourcequota", "few").get("status", {}))
    project.run("one", "holds")

    def running() -> int:
        return int(project.get("flowrun", "one")["status"].get("progress", {}).get("running", 0))

    project.until("it runs on one worker", lambda: running() == 1, seconds=90)
    project.kubectl("delete", "resourcequota", "few")
    # Workers that were refused are asked for again after 40 s at the latest.
    project.until("it runs on all three", lambda: running() == 3, seconds=90)
