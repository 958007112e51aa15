"""What is kept of finished runs on a real cluster, and what happens to runs that are made again."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

SAY = """
    from headwater import Flow, Parameter, task

    @task
    def say(text):
        if text == "bad":
            raise ValueError(text)
        print("saying", text)

    with Flow("say") as flow:
        say(Parameter("text", default="hello"))
"""


def names(project: Any, kind: str = "flowruns") -> set[str]:
    return {found["metadata"]["name"] for found in project.list(kind)}


def finish(project: Any, *runs: str) -> None:
    for run in runs:
        project.finish(run)


def test_so_many_of_each_kind_are_kept_and_the_newest_always(project: Any) -> None:
    project.flow("say", SAY, history={"succeeded": 1, "failed": 1})
    for name, text in (("bad-1", "bad"), ("bad-2", "bad"), ("good-1", "a"), ("good-2", "b")):
        project.run(name, "say", parameters={"text": text})
        # History may take a run as soon as the next has ended.
        project.until(f"{name} is over", lambda name=name: over(project, name))
    project.until("only the newest are there", lambda: names(project) == {"bad-2", "good-2"}, seconds=20)
    project.until("their pods are gone too", lambda: project.pods(role="runner") == ["bad-2-a1", "good-2-a1"])
    project.kubectl(
        "patch", "flow", "say", "--type=merge", "-p", json.dumps({"spec": {"history": {"failed": 0, "succeeded": 0}}})
    )
    project.until("the newest of all stays", lambda: names(project) == {"good-2"}, seconds=20)


def over(project: Any, run: str) -> bool:
    return run not in names(project) or project.state(run)[0] in ("Success", "Failed")


def test_time_takes_runs_and_compacts_those_of_a_gitops_tool(project: Any) -> None:
    project.flow("say", SAY, history={"ttlSecondsAfterFinished": 3})
    tracking = {"argocd.argoproj.io/tracking-id": "etl:headwater.dev/FlowRun:sales/tracked"}
    metadata = {"name": "tracked", "annotations": tracking}
    api = "headwater.dev/v1alpha1"
    project.apply({"apiVersion": api, "kind": "FlowRun", "metadata": metadata, "spec": {"flow": "say"}})
    project.run("old", "say")
    project.run("own", "say", ttlSecondsAfterFinished=600)
    finish(project, "tracked", "own")
    project.run("newest", "say")
    project.until("the old one goes", lambda: names(project) == {"tracked", "own", "newest"}, seconds=30)
    tracked = project.until(
        "the tracked one is compacted",
        lambda: (lambda run: run if "compactedAt" in run["status"] else None)(project.get("flowrun", "tracked")),
    )
    assert "tasks" not in tracked["status"]
    assert project.state("tracked")[0] == "Success"
    assert project.get("flowrun", "own")["status"]["tasks"]
    project.kubectl(
        "patch", "flowrun", "own", "--type=merge", "-p", json.dumps({"spec": {"ttlSecondsAfterFinished": 0}})
    )
    project.until("its own time is up", lambda: names(project) == {"tracked", "newest"}, seconds=20)


def test_a_key_is_executed_once(project: Any) -> None:
    project.flow("say", SAY)
    project.run("monday", "say", idempotencyKey="monday", ttlSecondsAfterFinished=0)
    project.run("twin", "say", idempotencyKey="monday", ttlSecondsAfterFinished=600)
    project.run("other", "say", idempotencyKey="tuesday", parameters={"text": "bad"})
    twin = project.finish("twin")
    assert project.state("twin")[0] == "Success"
    assert project.state("twin")[1].startswith("run monday with the same idempotencyKey was executed: ")
    assert "attempt" not in twin["status"]
    project.until("its time is up", lambda: "monday" not in names(project), seconds=30)
    project.until("its pod is gone", lambda: project.pods(run="monday") == [])

    project.run("monday", "say", idempotencyKey="monday")
    project.finish("monday", 20)
    assert project.state("monday")[0] == "Success"
    project.finish("other")
    project.kubectl("delete", "flowrun", "other")
    project.run("other", "say", idempotencyKey="tuesday")
    project.finish("other", 20)
    assert project.state("other")[0] == "Failed"
    assert project.pods(run="monday") == [], "neither was executed again"
    project.until("nor the other", lambda: project.pods(run="other") == [])
    claims = project.list("configmaps", "-l", "headwater.dev/role=claim")
    assert sorted((claim["data"]["key"], claim["data"]["state"]) for claim in claims) == [
        ("monday", "Success"),
        ("tuesday", "Failed"),
    ]
    project.kubectl("delete", "flow", "say")
    project.until("claims go with their flow", lambda: not project.list("configmaps", "-l", "headwater.dev/role=claim"))


def test_old_versions_go_but_not_one_that_a_run_uses(project: Any) -> None:
    def edit(number: int) -> None:
        project.flow("say", SAY, versions={"historyLimit": 2}, parameters={"text": f"v{number}"})

        def current() -> bool:
            return project.get("flow", "say")["status"].get("currentVersion", {}).get("number") == number

        project.until(f"version {number}", current)

    edit(1)
    project.run("pinned", "say")
    project.finish("pinned")
    for number in (2, 3, 4):
        edit(number)
    kept = {"say-v1", "say-v3", "say-v4"}
    project.until("two, and the one of the run", lambda: names(project, "flowversions") == kept, seconds=30)
    project.kubectl("delete", "flowrun", "pinned")
    project.until("without the run", lambda: names(project, "flowversions") == {"say-v3", "say-v4"}, seconds=30)
