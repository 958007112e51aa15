"""Deployed by Git and Helm: tools wait rightly, nobody fights over fields, nothing of theirs goes to children."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.judging import judge

pytestmark = pytest.mark.cluster

CODE = """
from headwater import Flow, Parameter, task
from headwater.triggers import manual_only

@task
def work(how):
    if how == "fail":
        raise ValueError("no such table")

@task(trigger=manual_only)
def deploy(worked): ...

with Flow("f") as flow:
    worked = work(Parameter("how", default="well"))

with Flow("gate") as gate:
    deploy(work(Parameter("how", default="well")))

with Flow("gates") as gates:
    deploy.map([1, 2])
"""

# By which labels and annotations tools know what is theirs; a child that had them would be deleted, or adopted.
THEIRS = {
    "labels": {
        "app.kubernetes.io/instance": "sales",
        "app.kubernetes.io/managed-by": "Helm",
        "argocd.argoproj.io/instance": "sales",
        "kustomize.toolkit.fluxcd.io/name": "sales",
        "helm.toolkit.fluxcd.io/name": "sales",
        "team": "sales",
    },
    "annotations": {
        "argocd.argoproj.io/tracking-id": "sales:headwater.dev/Flow:ns/f",
        "meta.helm.sh/release-name": "sales",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
    },
}


def spec(code: str = CODE, entrypoint: str = "flow.py:flow", **more: Any) -> dict[str, Any]:
    execution = {"provisioner": "InProcess"}
    return {"entrypoint": entrypoint, "source": {"files": {"flow.py": code}}, "execution": execution, **more}


def manifest(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "headwater.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def chart(folder: Path, *manifests: dict[str, Any]) -> str:
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: sales\nversion: 0.1.0\n")
    (folder / "templates" / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    return str(folder)


def test_helm_waits_for_flow_and_run(project: Any, helm: Any, tmp_path: Path) -> None:
    good = chart(tmp_path / "good", manifest("Flow", "f", spec()), manifest("FlowRun", "f-1", {"flow": "f"}))
    helm("install", "sales", good, "-n", project.name, "--wait", "--timeout", "90s")
    # It has not come back before all was well.
    assert project.state("f-1")[0] == "Success"
    kubectl_says = project.kubectl("wait", "--for=condition=Ready", "flow/f", "flowrun/f-1", "--timeout=0s").stdout
    assert "flow.headwater.dev/f condition met" in kubectl_says


@pytest.mark.parametrize(
    ("flow", "words"),
    [(spec("def f(:\n"), "cannot be imported"), (spec(image="nobody.invalid/none:1"), "cannot be pulled")],
    ids=["import", "image"],
)
def test_helm_fails_at_once_for_a_broken_flow(
    project: Any, helm: Any, tmp_path: Path, flow: dict[str, Any], words: str
) -> None:
    broken = chart(tmp_path / "broken", manifest("Flow", "f", flow))
    failed = helm("install", "sales", broken, "-n", project.name, "--wait", "--timeout", "300s", check=False)
    assert failed.returncode != 0
    assert words in failed.stderr
    assert "deadline" not in failed.stderr
    (said,) = [c for c in project.get("flow", "f")["status"]["conditions"] if c["type"] == "Stalled"]
    assert words in said["message"]


def test_a_run_that_fails_can_be_waited_for(project: Any) -> None:
    project.apply(
        manifest("Flow", "f", spec()), manifest("FlowRun", "f-1", {"flow": "f", "parameters": {"how": "fail"}})
    )
    project.kubectl("wait", "--for=condition=Finished", "flowrun/f-1", "--timeout=60s")
    project.kubectl("wait", "--for=condition=Stalled", "flowrun/f-1", "--timeout=0s")


def test_a_finished_run_that_is_edited_can_be_waited_for(project: Any) -> None:
    """Its time is set late, or it is cancelled too late: its result stays, and tools see it at once."""
    project.apply(manifest("Flow", "f", spec()))
    for name, edit in (("ttl", {"ttlSecondsAfterFinished": 3600}), ("late", {"cancel": "Cancel"})):
        project.run(name, "f")
        project.finish(name)
        project.kubectl("patch", "flowrun", name, "--type=merge", "-p", json.dumps({"spec": edit}))
        for condition in ("Finished", "Ready", "Succeeded"):
            project.kubectl("wait", f"--for=condition={condition}", f"flowrun/{name}", "--timeout=20s")
        (verdict,) = judge([project.get("flowrun", name)])
        assert (verdict["kstatus"], verdict["health"]) == ("Current", "Healthy")


def test_nothing_of_theirs_goes_to_children_and_no_spec_is_written(project: Any) -> None:
    workers = {"execution": {"provisioner": "Pods", "workers": 1}}
    flow = manifest("Flow", "f", {**spec(), **workers}, **THEIRS)
    project.apply(flow, manifest("FlowRun", "f-1", {"flow": "f", "idempotencyKey": "once"}, **THEIRS))
    soon = {**spec(schedules=[{"name": "soon", "interval": "1s"}]), **workers}
    project.finish("f-1")
    project.apply(manifest("Flow", "f", soon, **THEIRS))
    project.until("a scheduled run", lambda: len(project.list("flowruns")) > 1)
    project.apply(manifest("Flow", "f", {**spec(), **workers}, **THEIRS))
    kinds = "flowversions,flowruns,pods,services,secrets,configmaps"
    children = [o for o in project.list(kinds) if o["metadata"].get("ownerReferences")]
    assert {child["kind"] for child in children} >= {"FlowVersion", "FlowRun", "Pod", "ConfigMap", "Service", "Secret"}
    for child in children:
        for where, theirs in THEIRS.items():
            assert not child["metadata"].get(where, {}).items() & theirs.items(), child["metadata"]
    for given in (project.get("flow", "f"), project.get("flowrun", "f-1")):
        written = json.loads(
            project.kubectl(
                "get", given["kind"].lower(), given["metadata"]["name"], "-o", "json", "--show-managed-fields"
            ).stdout
        )
        for entry in written["metadata"]["managedFields"]:
            if entry["manager"] != "kubectl-client-side-apply":
                assert set(entry["fieldsV1"]) == {"f:status"}, entry
                assert entry["subresource"] == "status"


def test_two_managers_do_not_fight(project: Any) -> None:
    """One owns what runs, another when: neither takes the other's fields away, or has to force."""

    def applied(manager: str, part: dict[str, Any]) -> None:
        text = json.dumps(manifest("Flow", "f", part))
        project.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", input=text)

    for number in range(3):
        code = f"{CODE}\n# {number}\n"
        schedules = [{"name": "yearly", "cron": f"{number} 3 1 1 *"}]
        entrypoint = ("flow.py:flow", "flow.py:gate")[number % 2]
        applied("git", spec(code, entrypoint))
        applied("clock", {"schedules": schedules, "suspend": number % 2 == 0})
        project.until(
            "the operator has seen it",
            lambda: (f := project.get("flow", "f"))["status"]["observedGeneration"] == f["metadata"]["generation"],
        )
        found = project.get("flow", "f")["spec"]
        assert (found["entrypoint"], found["source"]["files"]["flow.py"]) == (entrypoint, code)
        assert found["schedules"][0]["cron"] == f"{number} 3 1 1 *"
        assert found["suspend"] == (number % 2 == 0)


def act(project: Any, kind: str, name: str, action: str) -> dict[str, Any]:
    """Do what Argo CD would do for an action; return the object that was made or changed."""
    (verdict,) = judge([project.get(kind, name)])
    offered = verdict["actions"][action]
    assert not offered["disabled"]
    (effect,) = offered["does"]
    verb = {"create": "create", "patch": "replace"}[effect["operation"]]
    done = project.kubectl(verb, "-f", "-", "-o", "json", input=json.dumps(effect["resource"]))
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_the_actions_of_argo_cd(project: Any) -> None:
    project.apply(manifest("Flow", "f", spec()), manifest("Flow", "gate", spec(entrypoint="flow.py:gate")))
    project.kubectl("wait", "--for=condition=Ready", "flow/f", "flow/gate", "--timeout=60s")
    run = act(project, "flow", "f", "run")["metadata"]["name"]
    project.finish(run)
    assert project.state(run)[0] == "Success"

    assert act(project, "flow", "gate", "suspend")["spec"]["suspend"] is True
    project.run("asks", "gate", suspend=True)
    project.until("it is suspended", lambda: project.state("asks")[0] == "Suspended")
    assert act(project, "flow", "gate", "resume")["spec"]["suspend"] is False
    assert act(project, "flowrun", "asks", "resume")["spec"]["suspend"] is False
    for name, action, state in (
        ("asks", "approve", "Success"),
        ("no", "reject", "Failed"),
        ("off", "cancel", "Cancelled"),
    ):
        if name != "asks":
            project.run(name, "gate")
        project.until("it asks", lambda name=name: project.state(name)[0] == "Paused")
        act(project, "flowrun", name, action)
        project.finish(name)
        assert project.state(name)[0] == state, project.state(name)
    again = act(project, "flowrun", "no", "retry-failed")
    assert again["spec"]["resumeFrom"] == {"run": "no"}
    project.finish(again["metadata"]["name"])


def test_argo_cd_approves_all_children_of_a_mapped_task(project: Any) -> None:
    project.apply(manifest("Flow", "gates", spec(entrypoint="flow.py:gates")))
    project.run("asks", "gates")
    project.until("it asks", lambda: project.state("asks")[0] == "Paused")
    act(project, "flowrun", "asks", "approve")
    project.finish("asks")
    assert project.state("asks")[0] == "Success", project.state("asks")


def test_a_retry_is_not_bound_to_the_run_that_started_the_old_one(project: Any) -> None:
    project.apply(manifest("Flow", "f", spec()), manifest("Flow", "gate", spec(entrypoint="flow.py:gate")))
    project.run("parent", "gate")
    project.until("it asks", lambda: project.state("parent")[0] == "Paused")
    parent = project.get("flowrun", "parent")
    owner = {key: parent[key] for key in ("apiVersion", "kind")}
    owner |= {key: parent["metadata"][key] for key in ("name", "uid")}
    wanted = {"flow": "f", "parameters": {"how": "fail"}}
    project.apply(manifest("FlowRun", "child", wanted, ownerReferences=[owner]))
    project.finish("child")
    assert project.state("child")[0] == "Failed"
    act(project, "flowrun", "parent", "cancel")
    project.finish("parent")
    again = act(project, "flowrun", "child", "retry-failed")["metadata"]
    assert "ownerReferences" not in again
    project.finish(again["name"])
    assert project.state(again["name"])[0] == "Failed", project.state(again["name"])
