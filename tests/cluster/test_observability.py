"""What a person sees of runs with kubectl alone, and what Prometheus sees of the operator."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

CODE = """
    from headwater import Flow, Parameter, task

    @task
    def say(word):
        if word == "wrong":
            raise ValueError("this word is wrong")
        print(word)

    with Flow("say") as flow:
        say(Parameter("word", default="hello"))
"""


def events(project: Any, name: str) -> dict[str, dict[str, Any]]:
    """The Events of an object, by reason."""
    found = project.list("events", "--field-selector", f"involvedObject.name={name}")
    assert len({event["reason"] for event in found}) == len(found), "a reason has one Event"
    return {event["reason"]: event for event in found}


def metric(kubectl: Any, operator: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels, asked through the Service."""
    path = f"/api/v1/namespaces/{operator}/services/headwater-operator:http/proxy/metrics"
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = kubectl("get", "--raw", path).stdout.splitlines()
    matching = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
    return sum(float(line.rpartition(" ")[2]) for line in matching if all(label in line for label in wanted))


def test_describe_tells_how_runs_ended(project: Any) -> None:
    project.flow("say", CODE)
    project.run("fine", "say")
    project.run("bad", "say", parameters={"word": "wrong"})
    project.finish("fine")
    project.finish("bad")
    project.until("both ends", lambda: "Success" in events(project, "fine") and "Failed" in events(project, "bad"))
    assert events(project, "fine")["Success"]["count"] == 1
    assert events(project, "fine").keys() <= {"Pending", "Running", "Success"}
    assert events(project, "bad")["Failed"]["type"] == "Warning"
    described = project.kubectl("describe", "flowrun", "bad").stdout.partition("Events:")[2]
    assert "Failed" in described
    assert "headwater-operator" in described
    of_flow = project.until("the version", lambda: (e := events(project, "say")) and "VersionCurrent" in e and e)
    assert of_flow["VersionMade"]["message"].startswith("say-v1 is made of image ")
    assert of_flow["VersionCurrent"]["message"] == "say-v1 is current"


def test_a_rollback_and_a_broken_version_are_told(project: Any) -> None:
    project.flow("say", CODE)
    project.until("v1", lambda: "VersionCurrent" in events(project, "say"))
    project.flow("say", CODE, parameters={"word": "other"})
    project.until("v2", lambda: project.get("flow", "say")["status"].get("currentVersion", {}).get("number") == 2)
    project.flow("say", "raise RuntimeError('not today')")
    broken = project.until("the break", lambda: events(project, "say").get("InspectionFailed"))
    assert "not today" in broken["message"]
    assert broken["type"] == "Warning"
    project.flow("say", CODE)
    project.until(
        "the rollback",
        lambda: events(project, "say")["VersionCurrent"]["message"] == "say-v1 is current again",
        seconds=60,
    )
    assert events(project, "say")["VersionMade"]["count"] == 3
    project.until("v1 says so", lambda: project.get("flowversion", "say-v1")["status"].get("current"))


def test_fields_tell_who_has_written_them(project: Any) -> None:
    project.flow("say", CODE)
    project.run("fine", "say")
    project.finish("fine")
    text = project.kubectl("get", "flowrun", "fine", "-o", "json", "--show-managed-fields").stdout
    managers = {field["manager"] for field in json.loads(text)["metadata"]["managedFields"]}
    assert managers == {"kubectl-client-side-apply", "headwater-operator", "headwater-runner"}


def test_a_wait_that_does_not_last_is_not_told(project: Any) -> None:
    project.flow("say", CODE)
    project.until("the version", lambda: project.get("flow", "say")["status"].get("currentVersion"))
    project.run("held", "say", suspend=True)
    project.until("it is suspended", lambda: project.state("held")[0] == "Suspended")
    project.kubectl("patch", "flowrun", "held", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    project.finish("held")
    project.until("the end", lambda: "Success" in events(project, "held"))
    time.sleep(4)  # as long as what waits would have been held
    assert events(project, "held").keys() <= {"Running", "Success"}


def test_a_lost_worker_is_told(project: Any) -> None:
    code = """
        import time
        from datetime import timedelta

        from headwater import Flow, task

        @task(max_retries=3, retry_delay=timedelta(seconds=1))
        def sleep():
            time.sleep(12)

        with Flow("sleep") as flow:
            sleep()
    """
    project.flow("sleep", code, execution={"workers": 1})
    project.run("long", "sleep")
    project.until("the task", lambda: project.tasks("long").get("sleep") == "Running")
    (worker,) = project.pods(run="long", role="worker")
    project.kubectl("delete", "pod", worker, "--wait=false")
    told = project.until("the loss", lambda: events(project, "long").get("WorkerReplaced"))
    assert "made anew: long-a1-w" in told["message"]
    project.finish("long", seconds=120)


def test_a_refused_run_of_a_schedule_is_told_and_made_in_the_end(project: Any) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    project.apply({**quota, "spec": {"hard": {"count/flowruns.headwater.dev": "0"}}})
    project.until("the quota", lambda: project.get("quota", "none").get("status", {}).get("used"))
    entry = {"name": "often", "interval": "20s", "catchUp": "Latest"}
    project.flow("say", CODE, schedules=[entry])
    told = project.until("the refusal", lambda: events(project, "say").get("RunRefused"), seconds=60)
    assert "exceeded quota: none" in told["message"]
    # The rest of the status goes on being written.
    status = project.get("flow", "say")["status"]
    assert status["currentVersion"]["name"] == "say-v1"
    project.kubectl("delete", "quota", "none")
    project.until("a run", lambda: project.list("flowruns"), seconds=90)


def test_prometheus_sees_runs_also_after_a_restart(project: Any, kubectl: Any, operator: str) -> None:
    project.flow("say", CODE)
    project.run("one", "say")
    project.finish("one")
    mine = {"namespace": project.name, "flow": "say"}

    def ask(name: str, **labels: str) -> float:
        return metric(kubectl, operator, name, **mine, **labels)

    assert ask("headwater_runs", state="Success") == 1
    assert ask("headwater_runs_finished_total", state="Success") == 1
    assert ask("headwater_run_wait_seconds_count") == 1
    assert 0 < ask("headwater_run_duration_seconds_sum") < 90
    assert metric(kubectl, operator, "headwater_ready") == 1
    assert metric(kubectl, operator, "headwater_api_requests_total", verb="PATCH", code="200") > 0
    kubectl("-n", operator, "rollout", "restart", "deployment/headwater-operator")
    kubectl("-n", operator, "rollout", "status", "deployment/headwater-operator", "--timeout=90s")
    project.until("the operator", lambda: metric(kubectl, operator, "headwater_ready") == 1)
    assert ask("headwater_runs", state="Success") == 1
    assert ask("headwater_runs_finished_total", state="Success") == 0
    assert events(project, "one")["Success"]["count"] == 1
    ready = kubectl("-n", operator, "get", "deployment", "headwater-operator", "-o", "json").stdout
    assert json.loads(ready)["status"]["readyReplicas"] == 1
