"""Versions on a real cluster: minted by an edit, kept, pinned, and found again after a rollback."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

CODE = """
    from headwater import Flow, task

    @task
    def say():
        print("this is version {number}")

    with Flow("f") as flow:
        say()
"""


def versions(project: Any) -> dict[str, str]:
    """Names and who is ready."""
    return {
        version["metadata"]["name"]: next(c["status"] for c in version["status"]["conditions"] if c["type"] == "Ready")
        for version in project.list("flowversions")
    }


def runtime_image(project: Any) -> str:
    """What the chart gives to flows that name no image."""
    operator = project.get("-n", "headwater-system", "deployment/headwater-operator")
    environment = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    return next(variable["value"] for variable in environment if variable["name"] == "HEADWATER_RUNTIME_IMAGE")


def current(project: Any) -> str | None:
    flow = project.get("flow", "f")
    ready = next(c for c in flow["status"]["conditions"] if c["type"] == "Ready")
    settled = ready["status"] == "True" and flow["status"]["observedGeneration"] == flow["metadata"]["generation"]
    return flow["status"]["currentVersion"]["name"] if settled else None


def test_edit_pin_and_rollback(project: Any) -> None:
    one, two = CODE.format(number=1), CODE.format(number=2)
    project.flow("f", one)
    project.until("v1", lambda: current(project) == "f-v1")
    project.flow("f", one)
    project.flow("f", two)
    project.until("v2", lambda: current(project) == "f-v2")
    assert versions(project) == {"f-v1": "True", "f-v2": "True"}, "nothing changed made no version, the edit made one"

    project.run("newest", "f")
    project.run("pinned", "f", version=1)
    for run, number in (("newest", 2), ("pinned", 1)):
        finished = project.finish(run)
        assert finished["status"]["version"]["number"] == number
        assert f"this is version {number}" in project.kubectl("logs", f"{run}-a1").stdout

    project.flow("f", one)
    project.until("v1 again", lambda: current(project) == "f-v1")
    assert list(versions(project)) == ["f-v1", "f-v2"]


def test_a_version_shows_what_the_flow_is(project: Any) -> None:
    project.flow("f", CODE.format(number=1), parameters={})
    project.until("v1", lambda: current(project) == "f-v1")
    version = project.get("flowversion", "f-v1")
    assert version["status"]["graph"] == {
        "counts": {"tasks": 1, "edges": 0},
        "tasks": [{"name": "say", "slug": "say-1", "upstream": []}],
    }
    assert version["status"]["parametersSchema"] == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert set(version["status"]["runtime"]) == {"python", "headwater", "distributed"}
    assert version["spec"]["image"] == runtime_image(project), "the chart's image, since the flow names none"
    refused = project.kubectl(
        "patch", "flowversion", "f-v1", "--type=merge", "-p", '{"spec": {"entrypoint": "a:b"}}', check=False
    )
    assert refused.returncode != 0
    assert "never changes" in refused.stderr


def test_a_broken_edit_leaves_the_last_good_version_current(project: Any) -> None:
    project.flow("f", CODE.format(number=1))
    project.until("v1", lambda: current(project) == "f-v1")
    project.flow("f", "raise RuntimeError('half an edit')\n")

    def stalled() -> Any:
        conditions = project.get("flow", "f")["status"]["conditions"]
        return next((c for c in conditions if c["type"] == "Stalled"), None)

    found = project.until("told", stalled, seconds=30)
    assert found["message"].startswith(
        "f-v2 cannot be used; f-v1 stays current: the flow cannot be imported: RuntimeError: half an edit"
    )
    project.run("f-1", "f")
    run = project.finish("f-1")
    assert run["status"]["version"]["name"] == "f-v1"


def test_a_digest_is_what_runs_where_the_node_knows_one(project: Any) -> None:
    project.flow("f", CODE.format(number=1))
    project.until("v1", lambda: current(project) == "f-v1")
    image = project.get("flowversion", "f-v1")["status"].get("image")
    project.run("f-1", "f")
    run = project.finish("f-1")
    pod = project.get("pod", "f-1-a1")
    expected = image or runtime_image(project)
    assert image is None or "@sha256:" in image
    assert pod["spec"]["containers"][0]["image"] == expected
    assert run["status"]["version"]["image"] == expected
