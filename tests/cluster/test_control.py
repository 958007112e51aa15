"""What people do to runs under way: cancel, terminate, approve, reject, mark, restart; by the command line and kubectl."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

EXECUTIONS = {"Pods": {"workers": 1}, "InProcess": {"provisioner": "InProcess"}}

HELD = """
    import time
    from pathlib import Path
    from headwater import Flow, task, unmapped
    from headwater.triggers import always_run

    @task
    def hold(number):
        print(f"holding {number}", flush=True)
        time.sleep(3)
        return number

    @task
    def after(number):
        print(f"after {number}", flush=True)

    @task(trigger=always_run)
    def sweep(done):
        print("swept", flush=True)

    with Flow("held") as flow:
        held = hold.map(list(range(20)))
        after.map(held)
        sweep(held)
"""

GATES = """
    from headwater import Flow, task
    from headwater.signals import PAUSE
    from headwater.triggers import manual_only

    @task
    def build():
        return "wheel"

    @task(trigger=manual_only)
    def deploy(what):
        return f"deployed {what}"

    @task
    def announce(words):
        print("announce", words, flush=True)

    @task
    def drop(after):
        raise PAUSE("drop the old tables?")

    @task(max_retries=1, retry_delay=__import__("datetime").timedelta(minutes=20))
    def migrate():
        raise ValueError("locked")

    with Flow("gates") as flow:
        announce(deploy(build()))
        drop(build())
        announce(migrate(), task_args={"name": "tell"})
"""


ASKS = """
    from headwater import Flow, task
    from headwater.triggers import always_run, manual_only

    @task(trigger=manual_only)
    def ship(number):
        print(f"shipped {number}", flush=True)

    with Flow("asks") as flow:
        BODY
"""


def headwater(project: Any, *words: str, fails: int = 0) -> str:
    command = [sys.executable, "-m", "headwater.cli.main", *words, "-n", project.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def begun(project: Any, run: str) -> None:
    project.until(
        "a task has begun", lambda: project.get("flowrun", run)["status"].get("timeline", {}).get("firstTaskAt")
    )


def log_of(project: Any, run: str) -> list[str]:
    pod = project.get("flowrun", run)["status"]["attempt"]["podName"]
    return str(project.kubectl("logs", pod).stdout).splitlines()


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_cancelled_run_finishes_what_runs_and_cleans_up(project: Any, execution: str) -> None:
    project.flow("held", HELD, execution=EXECUTIONS[execution])
    project.run("one", "held")
    begun(project, "one")
    assert "is asked to end (spec.cancel: Cancel)" in headwater(project, "cancel", "one")
    project.until("it says so", lambda: project.state("one")[0] in ("Cancelling", "Cancelled"))
    run = project.finish("one")
    state, message = project.state("one")
    assert state == "Cancelled", message
    assert "Cancelled, as spec.cancel asks for it: " in message
    tasks = {task["name"]: task for task in run["status"]["tasks"]}
    held = tasks["hold"]["mapped"]
    assert held["success"] + held["cancelled"] == 20
    assert 1 <= held["success"] <= 4, "only what had begun"
    assert tasks["sweep"]["state"] == "Success"
    assert not any(entry.get("mapped", entry).get("running") for entry in tasks.values())
    text = "\n".join(log_of(project, "one"))
    assert text.count("holding ") == held["success"], "and nobody says that something did not run which did"
    assert "after " not in text
    assert "is finished already: Cancelled" in headwater(project, "cancel", "one", fails=2)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_terminated_run_is_stopped_at_once(project: Any, execution: str) -> None:
    project.flow("held", HELD.replace("sleep(3)", "sleep(600)"), execution=EXECUTIONS[execution])
    project.run("one", "held")
    begun(project, "one")
    headwater(project, "cancel", "one")
    project.until("it waits for what runs", lambda: project.state("one")[0] == "Cancelling")
    assert "spec.cancel: Terminate stops it" in project.state("one")[1]
    headwater(project, "cancel", "one", "--terminate")
    run = project.finish("one", 40)
    assert project.state("one") == ("Cancelled", "cancelled (spec.cancel: Terminate)")
    project.until("its pods go", lambda: not project.pods(run="one"), 40)
    entry = {task["name"]: task for task in run["status"]["tasks"]}["hold"]
    assert entry["state"] == "Cancelled"


def test_a_run_that_waits_is_cancelled_before_it_begins(project: Any) -> None:
    project.run("early", "nobody")
    project.until("it waits", lambda: project.state("early")[0] == "Pending")
    project.kubectl("patch", "flowrun", "early", "--type=merge", "-p", '{"spec":{"cancel":"Cancel"}}')
    run = project.finish("early", 20)
    assert project.state("early") == ("Cancelled", "cancelled before it began (spec.cancel: Cancel)")
    assert "attempt" not in run["status"]


def test_what_a_run_has_started_is_cancelled_with_it(project: Any) -> None:
    project.flow("held", HELD)
    parent = """
        from datetime import timedelta
        from headwater import Flow
        from headwater.tasks.headwater import create_flow_run, wait_for_flow_run

        with Flow("parent") as flow:
            wait_for_flow_run(create_flow_run("held"))
    """
    project.flow("parent", parent)
    project.run("top", "parent")
    children = project.until(
        "a child runs",
        lambda: [r for r in project.list("flowruns") if r["metadata"]["name"] != "top" and r["status"].get("tasks")],
    )
    name = children[0]["metadata"]["name"]
    begun(project, name)
    headwater(project, "cancel", "top")
    project.finish(name)
    project.finish("top")
    assert project.state(name)[0] == "Cancelled"
    assert "the run that started it is cancelled" in project.state(name)[1]
    assert "cancel" not in project.get("flowrun", name)["spec"] or not project.get("flowrun", name)["spec"]["cancel"]
    assert project.state("top")[0] == "Success", "it came to its end: all that it had to do was to wait"


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_people_answer_paused_tasks_and_mark_others(project: Any, execution: str) -> None:
    project.flow("gates", GATES, execution=EXECUTIONS[execution])
    project.run("one", "gates")
    begun(project, "one")
    mark = ("mark", "one", "migrate", "Success", "-m", "done by hand")
    project.until("it waits for its retry", lambda: project.tasks("one").get("migrate") == "Retrying")
    assert "Success migrate-1; `headwater watch one -n " in headwater(project, *mark)
    project.until("it waits for a person", lambda: project.state("one")[0] == "Paused")
    message = project.state("one")[1]
    assert "wait for a person (headwater approve one " in message
    ready = {c["type"]: c for c in project.get("flowrun", "one")["status"]["conditions"]}
    assert (ready["Reconciling"]["status"], ready["Reconciling"]["reason"]) == ("True", "Paused")
    words = headwater(project, "approve", "one", "deplyo", fails=2)
    assert 'The flow has no task "deplyo"; its tasks are announce-1, build-1' in words
    headwater(project, "approve", "one", "deploy")
    project.until("the others go on", lambda: project.tasks("one").get("announce") == "Success")
    entry = [{"op": "add", "path": "/spec/decisions/-", "value": {"task": "drop-1", "decision": "Reject"}}]
    project.kubectl("patch", "flowrun", "one", "--type=json", "-p", json.dumps(entry))
    run = project.finish("one", 40)
    found = {task["name"]: task for task in run["status"]["tasks"]}
    assert found["deploy"]["state"] == "Success"
    assert found["drop"]["state"] == "Failed"
    assert "a person said no" in found["drop"]["message"]
    assert found["migrate"]["state"] == "Success"
    assert found["tell"]["state"] == "Success"
    text = "\n".join(log_of(project, "one"))
    assert "announce deployed wheel" in text
    assert "announce None" in text
    assert "is finished already: Failed" in headwater(project, "approve", "one", "deploy", fails=2)


def test_an_account_that_may_not_watch_is_heard_too(project: Any) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bare"}}
    project.apply(account)
    project.flow("gates", GATES, serviceAccountName="bare")
    project.run("one", "gates")
    project.until("it waits for a person", lambda: project.tasks("one").get("deploy") == "Paused")
    headwater(project, "approve", "one", "deploy")
    project.until("it is heard", lambda: project.tasks("one").get("announce") == "Success")
    headwater(project, "cancel", "one")
    project.finish("one", 40)
    assert project.state("one")[0] == "Cancelled"


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_run_whose_first_task_waits_for_a_person_is_not_timed_out(project: Any, execution: str) -> None:
    code = ASKS.replace("BODY", "ship(1); ship(2)")
    project.flow("asks", code, execution=EXECUTIONS[execution], startDeadlineSeconds=15)
    project.run("one", "asks")
    project.until("it waits for a person", lambda: project.state("one")[0] == "Paused")
    assert 'task "ship-1", "ship-2" wait for a person (headwater approve one ship-1' in project.state("one")[1]
    time.sleep(16)
    assert project.state("one")[0] == "Paused", project.state("one")
    headwater(project, "approve", "one", "ship-1")
    headwater(project, "approve", "one", "ship-2")
    project.finish("one", 40)
    assert project.state("one")[0] == "Success", project.state("one")


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_children_are_answered_one_by_one(project: Any, execution: str) -> None:
    project.flow("asks", ASKS.replace("BODY", "ship.map([10, 11, 12, 13])"), execution=EXECUTIONS[execution])
    project.run("one", "asks")

    def paused() -> list[int]:
        entries = project.get("flowrun", "one")["status"].get("tasks", [])
        return [child["index"] for entry in entries for child in entry.get("pausedChildren", [])]

    project.until("all wait for a person", lambda: paused() == [0, 1, 2, 3])
    project.until("the run says so", lambda: project.state("one")[0] == "Paused")
    assert 'task "ship" [0, 1, 2 and 1 more] waits for a person' in project.state("one")[1]
    assert "headwater approve one ship --index 0, or spec.decisions" in project.state("one")[1]
    assert "has 4 children, counted from 0, and no 99" in headwater(
        project, "approve", "one", "ship", "--index", "99", fails=2
    )
    assert "name one with --index" in headwater(project, "mark", "one", "ship", "Success", fails=2)
    headwater(project, "approve", "one", "ship", "--index", "1")
    project.until("one goes on", lambda: paused() == [0, 2, 3])
    project.until("its line comes", lambda: any("shipped 11" in line for line in log_of(project, "one")))
    headwater(project, "reject", "one", "ship", "--index", "0", "-m", "sold")
    entry = [
        {"op": "add", "path": "/spec/decisions/-", "value": {"task": "ship", "mapIndex": 7, "decision": "Approve"}}
    ]
    project.kubectl("patch", "flowrun", "one", "--type=json", "-p", json.dumps(entry))
    project.until(
        "what leads nowhere is told",
        lambda: any("Approve ship[7]: " in line and "children 0 to 3" in line for line in log_of(project, "one")),
    )
    headwater(project, "approve", "one", "ship")
    run = project.finish("one", 40)
    ship = {task["name"]: task for task in run["status"]["tasks"]}["ship"]
    assert (ship["mapped"]["success"], ship["mapped"]["failed"]) == (3, 1)
    assert [child["index"] for child in ship["failedChildren"]] == [0]
    assert "pausedChildren" not in ship


def test_a_run_goes_on_when_its_flow_is_deleted(project: Any) -> None:
    project.flow("asks", ASKS.replace("BODY", "ship(1)"), execution={"workers": 1})
    project.run("one", "asks")
    project.until("it waits for a person", lambda: project.state("one")[0] == "Paused")
    project.kubectl("delete", "flow", "asks")
    project.until("its version is gone", lambda: not project.list("flowversions"))
    headwater(project, "approve", "one", "ship")
    project.finish("one", 40)
    assert project.state("one")[0] == "Success", project.state("one")


def test_a_run_whose_flow_is_deleted_ends_with_its_last_worker(project: Any) -> None:
    project.flow("asks", ASKS.replace("BODY", "ship(1)"), execution={"workers": 1})
    project.run("one", "asks")
    project.until("it waits for a person", lambda: project.state("one")[0] == "Paused")
    project.kubectl("delete", "flow", "asks")
    project.until("its version is gone", lambda: not project.list("flowversions"))
    project.kubectl("delete", "pod", *project.pods(run="one", role="worker"), "--wait=false")
    project.finish("one", 60)
    state, message = project.state("one")
    assert (state, 'Flow "asks" was deleted' in message) == ("Crashed", True), message


def test_a_run_whose_workers_never_start_is_cancelled_at_once(project: Any) -> None:
    code = ASKS.replace("BODY", "ship(1)").replace("trigger=manual_only", "trigger=always_run")
    worker = {"nodeSelector": {"headwater.dev/no": "such-node"}}
    project.flow("asks", code, execution={"workers": 1, "worker": worker})
    project.run("one", "asks")
    project.until("it waits for a node", lambda: project.state("one")[0] == "Pending" and project.pods(run="one"))
    headwater(project, "cancel", "one")
    project.finish("one", 40)
    assert project.state("one") == ("Cancelled", "cancelled before its first task began (spec.cancel: Cancel)")
