"""RunNamespacedJob: Jobs that a flow makes, follows and takes away, from a laptop and in a FlowRun."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

import psutil
import pytest

from headwater import Flow
from headwater.core.states import State
from headwater.executors import LocalDaskExecutor
from headwater.tasks.kubernetes import JobError, RunNamespacedJob

pytestmark = pytest.mark.cluster

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def body(script: str, name: str | None = None, image: str = "headwater/runtime:dev", **spec: Any) -> dict[str, Any]:
    container = {
        "name": "work",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "securityContext": RESTRICTED,
    }
    metadata = {"metadata": {"name": name}} if name else {}
    return {**metadata, "spec": {"backoffLimit": 0, **spec, "template": {"spec": {"containers": [container]}}}}


def run(project: Any, script: str, executor: Any = None, **arguments: Any) -> State:
    options = {key: arguments.pop(key) for key in ("name", "image") if key in arguments}
    with Flow("jobs") as flow:
        job = RunNamespacedJob(namespace=project.name, **arguments)(body(script, **options))
    state: State = flow.run(executor=executor).result[job]
    return state


def jobs(project: Any) -> list[str]:
    return [job["metadata"]["name"] for job in project.list("jobs") if "deletionTimestamp" not in job["metadata"]]


def test_a_job_succeeds_and_its_lines_are_logged(project: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="headwater")
    state = run(project, "echo one; sleep 1; echo two")
    assert state.is_successful()
    assert state.result.startswith("runnamespacedjob-")
    lines = [record.getMessage().partition(" | ")[2] for record in caplog.records]
    assert [line for line in lines if line in ("one", "two")] == ["one", "two"]
    project.until("the job and its pods are gone", lambda: not jobs(project) and not project.list("pods"))


def test_a_job_that_is_to_stay_stays(project: Any) -> None:
    state = run(project, "true", name="kept", delete_job_after_completion=False, log_pods=False)
    assert state.result == "kept"
    assert jobs(project) == ["kept"]


@pytest.mark.parametrize("log_pods", [True, False])
def test_a_job_that_fails_says_how_and_leaves_nothing(project: Any, log_pods: bool) -> None:
    state = run(project, "echo some words; echo the reason >&2; exit 3", log_pods=log_pods)
    assert state.is_failed()
    assert isinstance(state.result, JobError)
    words = str(state.result)
    assert "BackoffLimitExceeded" in words
    assert "container work exited with 3" in words
    assert sorted(words.splitlines()[-2:]) == ["some words", "the reason"]
    assert jobs(project) == []


def test_what_the_api_server_refuses_is_told_in_its_words(project: Any) -> None:
    state = run(project, "true", name="Not_A_Name")
    assert "Not_A_Name" in str(state.message)
    assert "422" in str(state.message)
    refused = RunNamespacedJob(namespace="no-such-namespace")
    with pytest.raises(Exception, match='404 namespaces "no-such-namespace" not found'):
        refused.run(body("true"))


def test_a_job_that_takes_too_long_is_deleted(project: Any) -> None:
    state = run(project, "echo begun; sleep 600", timeout_seconds=4)
    assert "did not end within 4 seconds and was deleted" in str(state.message)
    assert jobs(project) == []


def test_an_image_that_cannot_be_pulled_is_told_while_it_waits(project: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="headwater")
    state = run(project, "true", image="localhost:1/nobody/nothing:1", timeout_seconds=12)
    assert "ErrImagePull" in str(state.message) + caplog.text or "ImagePullBackOff" in str(state.message)
    assert jobs(project) == []


@pytest.mark.parametrize("executor", ["local", "threads"])
def test_a_tasks_timeout_takes_the_job_away(project: Any, executor: str) -> None:
    began = time.monotonic()
    threads = LocalDaskExecutor("threads", num_workers=1) if executor == "threads" else None
    state = run(project, "sleep 600", name="slow", executor=threads, timeout=5)
    assert state.name == "TimedOut"
    assert time.monotonic() - began < 60
    # What is killed deletes nothing: then it is the Job's own limit that ends it, ten seconds later.
    if executor == "local":
        assert jobs(project) == []
    else:
        limit = project.get("job", "slow")["spec"]["activeDeadlineSeconds"]
        assert limit == 15


def test_what_runs_a_task_again_after_a_crash_follows_the_job_that_is_there(project: Any) -> None:
    def crash_once() -> None:
        project.until("the pod runs", lambda: [p for p in project.list("pods") if p["status"]["phase"] == "Running"])
        for child in psutil.Process().children():
            if "headwater.executors.task_process" in child.cmdline():
                child.kill()

    crash = threading.Thread(target=crash_once)
    crash.start()
    executor = LocalDaskExecutor("processes", num_workers=1)
    again = {"max_retries": 1, "retry_delay": timedelta(0), "delete_job_after_completion": False}
    state = run(project, "sleep 8", name="once", executor=executor, **again)
    crash.join()
    assert state.is_successful()
    assert jobs(project) == ["once"]
    assert len(project.list("pods")) == 1


def test_a_job_of_somebody_else_is_left_alone(project: Any) -> None:
    theirs = body("true", name="theirs")
    theirs["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    project.apply({"apiVersion": "batch/v1", "kind": "Job", **theirs})
    state = run(project, "true", name="theirs")
    assert "exists and was not made by this task run; delete it, or leave metadata.name out" in str(state.message)
    assert jobs(project) == ["theirs"]


def test_in_a_flow_run_the_account_needs_the_right(project: Any) -> None:
    code = f"""
        from headwater import Flow
        from headwater.tasks.kubernetes import RunNamespacedJob

        with Flow("jobs") as flow:
            RunNamespacedJob()({body("echo from a pod", name="inner")!r})
    """
    project.flow("jobs", code)
    project.run("without", "jobs")
    project.finish("without")
    assert "cannot create resource" in project.state("without")[1]
    project.kubectl(
        *("create", "role", "jobs", "--verb=create,get,list,watch,delete"),
        "--resource=jobs.batch,pods,pods/log",
    )
    account = f"{project.name}:headwater-runner"
    project.kubectl("create", "rolebinding", "jobs", "--role=jobs", f"--serviceaccount={account}")
    project.run("with", "jobs")
    run = project.finish("with")
    assert project.state("with")[0] == "Success", project.state("with")
    assert "from a pod" in project.kubectl("logs", run["status"]["attempt"]["podName"]).stdout
