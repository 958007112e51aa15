"""FlowRuns that go on where an earlier one ended."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

CODE = """
    from headwater import Flow, Parameter, task
    from headwater.results import LocalResult

    @task
    def transform(x):
        print(f"transform {x}", flush=True)
        return x * 10

    @task
    def load(x, mended):
        print(f"load {x}", flush=True)
        if x == 20 and not mended:
            raise ValueError("no room")
        return x

    @task
    def total(xs):
        print("total", sum(xs), flush=True)

    with Flow("story", result=LocalResult("/data/results")) as flow:
        total(load.map(transform.map([1, 2, 3]), mended=[Parameter("mended", default=False)] * 3))
"""


HELD = """
    from headwater import Flow, task
    from headwater.results import LocalResult
    from headwater.triggers import manual_only

    @task
    def build():
        print("building", flush=True)
        return "wheel"

    @task(trigger=manual_only)
    def deploy(what):
        print("deployed", what, flush=True)

    with Flow("held", result=LocalResult("/data/results")) as flow:
        deploy(build())
"""

SHAPE = """
    from headwater import Flow, task
    from headwater.results import LocalResult

    @task
    def source():
        return [1, 2, 3]

    @task
    def middle(x):
        return x

    @task
    def end(x):
        print("end", x, flush=True)
        if {fails}:
            raise ValueError("not yet")

    with Flow("shape", result=LocalResult("/data/results")) as flow:
        end({body})
"""


def headwater(project: Any, *words: str, fails: int = 0) -> str:
    command = [sys.executable, "-m", "headwater.cli.main", *words, "-n", project.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def log_of(project: Any, run: str) -> str:
    return str(project.kubectl("logs", project.get("flowrun", run)["status"]["attempt"]["podName"]).stdout)


def volume(project: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Make a volume and return what mounts it in a flow's pod."""
    name = "results"
    project.set_aside_volume(name, request)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    project.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim})
    mount = [{"name": "flow", "volumeMounts": [{"name": name, "mountPath": "/data"}]}]
    return {
        "podTemplate": {
            "spec": {"containers": mount, "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}}]}
        }
    }


@pytest.mark.parametrize("provisioner", ["Pods", "InProcess"])
def test_only_what_failed_and_what_follows_it_runs_again(
    project: Any, request: pytest.FixtureRequest, provisioner: str
) -> None:
    mounted = volume(project, request)
    workers = {"workers": 1, "worker": mounted} if provisioner == "Pods" else {"provisioner": "InProcess"}
    project.flow("story", CODE, execution={"runner": mounted, **workers})
    project.run("first", "story")
    first = project.finish("first")
    assert project.state("first")[0] == "Failed"
    failed = {task["name"]: task for task in first["status"]["tasks"]}["load"]["failedChildren"]
    assert [child["index"] for child in failed] == [1]

    project.run("second", "story", resumeFrom={"run": "first"}, parameters={"mended": True})
    second = project.finish("second")
    assert project.state("second")[0] == "Success", project.state("second")
    log = project.kubectl("logs", second["status"]["attempt"]["podName"]).stdout
    assert "load 20" in log
    assert "total 60" in log
    assert not [line for line in log.splitlines() if line.endswith(("load 10", "load 30")) or "transform " in line]

    # What was not run again is there for the next one, too.
    project.run("again", "story", resumeFrom={"run": "second", "tasks": ["load-1"]}, parameters={"mended": True})
    again = project.finish("again")
    assert project.state("again")[0] == "Success", project.state("again")
    log = project.kubectl("logs", again["status"]["attempt"]["podName"]).stdout
    assert "transform " not in log
    assert [log.count(f"load {number}") for number in (10, 20, 30)] == [1, 1, 1]

    project.run("third", "story", resumeFrom={"run": "nobody"})
    project.finish("third")
    assert 'resumeFrom: FlowRun "nobody" left no ledger' in project.state("third")[1]


def test_a_flow_without_a_store_says_that_nothing_was_kept(project: Any) -> None:
    project.flow("plain", CODE.replace(', result=LocalResult("/data/results")', ""))
    project.run("first", "plain", resumeFrom={"run": "older"})
    project.finish("first")
    state, message = project.state("first")
    assert state == "Failed"
    assert "has no result store" in message


def test_failed_runs_are_restarted_again_and_again(project: Any, request: pytest.FixtureRequest) -> None:
    mounted = volume(project, request)
    project.flow("story", CODE, execution={"runner": mounted, "provisioner": "InProcess"})
    project.run("first", "story")
    project.finish("first")
    for old, new in (("first", "first-r2"), ("first-r2", "first-r3")):
        assert f'FlowRun "{new}" goes on where "{old}" ended' in headwater(project, "restart", old)
        run = project.finish(new)
        assert project.state(new)[0] == "Failed"
        assert "no room" in project.state(new)[1], "and not that a result was not stored"
        log = log_of(project, new)
        assert "load 20" in log
        assert "transform " not in log
        tasks = {task["name"]: task for task in run["status"]["tasks"]}
        assert len(tasks["transform"]["results"]) == 3
    headwater(project, "restart", "first-r3", "--from", "transform", "--mark", "total=Skipped", "--name", "anew")
    run = project.finish("anew")
    assert run["spec"]["resumeFrom"] == {"run": "first-r3", "tasks": ["transform-1"]}
    assert sorted(line for line in log_of(project, "anew").splitlines() if line.startswith("transform ")) == [
        f"transform {x}" for x in (1, 2, 3)
    ]
    assert project.tasks("anew")["total"] == "Skipped"
    words = headwater(project, "restart", "anew", "--from", "transfrom", fails=2)
    assert 'The flow has no task "transfrom"' in words


@pytest.mark.parametrize("provisioner", ["Pods", "InProcess"])
def test_a_run_whose_runner_was_lost_is_gone_on_from(
    project: Any, request: pytest.FixtureRequest, provisioner: str
) -> None:
    mounted = volume(project, request)
    workers = {"workers": 1, "worker": mounted} if provisioner == "Pods" else {"provisioner": "InProcess"}
    project.flow("held", HELD, execution={"runner": mounted, **workers})
    project.run("one", "held")
    project.until("it waits for a person", lambda: project.state("one")[0] == "Paused")
    pod = project.get("flowrun", "one")["status"]["attempt"]["podName"]
    project.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    project.finish("one")
    assert project.state("one")[0] == "Crashed"
    headwater(project, "restart", "one")
    project.until("it asks again", lambda: project.state("one-r2")[0] == "Paused")
    headwater(project, "approve", "one-r2", "deploy")
    project.finish("one-r2")
    assert project.state("one-r2")[0] == "Success", project.state("one-r2")
    log = log_of(project, "one-r2")
    assert "deployed wheel" in log
    assert "building" not in log


def test_a_run_goes_on_from_no_other_flow_and_no_other_run_of_the_name(
    project: Any, request: pytest.FixtureRequest
) -> None:
    mounted = volume(project, request)
    execution = {"runner": mounted, "provisioner": "InProcess"}
    project.flow("story", CODE, execution=execution)
    project.flow("tale", CODE, execution=execution)
    project.flow("held", HELD, execution=execution)
    project.run("first", "story")
    project.finish("first")
    project.run("wrong", "tale", resumeFrom={"run": "first"})
    run = project.finish("wrong")
    words = 'spec.resumeFrom.run: FlowRun "first" is of another Flow, "story"; name one of this Flow'
    assert project.state("wrong") == ("Failed", words)
    assert "attempt" not in run["status"], "no pod was made"

    project.kubectl("delete", "flowrun", "first")
    project.run("wrong-too", "tale", resumeFrom={"run": "first"})
    project.finish("wrong-too")
    state, message = project.state("wrong-too")
    assert state == "Failed"
    assert 'FlowRun "first" is of Flow "story" (story-v1), and this run of Flow "tale"' in message
    assert "Traceback" not in message

    project.run("first", "held")
    project.until("it waits for a person", lambda: project.state("first")[0] == "Paused")
    project.run("early", "held", resumeFrom={"run": "first"})
    project.finish("early")
    assert 'FlowRun "first" is not finished' in project.state("early")[1]


def test_what_was_mapped_in_another_version_runs_anew(project: Any, request: pytest.FixtureRequest) -> None:
    execution = {"runner": volume(project, request), "provisioner": "InProcess"}
    project.flow("shape", SHAPE.format(fails=True, body="middle.map(source())"), execution=execution)
    project.run("first", "shape")
    project.finish("first")
    project.flow("shape", SHAPE.format(fails=False, body="middle(source())"), execution=execution)
    project.run("second", "shape", resumeFrom={"run": "first"})
    project.finish("second")
    assert project.state("second")[0] == "Success", project.state("second")
    assert "end [1, 2, 3]" in log_of(project, "second")
