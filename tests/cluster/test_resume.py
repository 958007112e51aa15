"""FlowRuns that go on where an earlier one ended."""

from __future__ import annotations

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
