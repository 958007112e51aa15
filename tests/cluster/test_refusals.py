"""What a quota refuses is told by the object that wants it, and made once it is allowed."""

from __future__ import annotations

import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.cluster

CODE = """
    from headwater import Flow, task
    import time

    @task
    def work():
        time.sleep(3)

    with Flow("f") as flow:
        work()
"""


def forbid(project: Any, what: str) -> None:
    """Let nothing more of a kind be made, and wait until the API server goes by it."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}}
    project.apply({**quota, "spec": {"hard": {what: "0"}}})
    project.until("the quota", lambda: what in project.get("quota", "q").get("status", {}).get("used", {}))


def allow(project: Any) -> None:
    project.kubectl("delete", "quota", "q")


def said(project: Any, name: str, type: str) -> str:
    found = [
        c for c in project.get("flow", name)["status"]["conditions"] if c["type"] == type and c["status"] == "True"
    ]
    return f"{found[0]['reason']}: {found[0]['message']}" if found else ""


@pytest.mark.parametrize("what", ["services", "secrets"])
def test_a_run_tells_what_it_is_refused(project: Any, what: str) -> None:
    project.flow("f", CODE, execution={"provisioner": "Pods", "workers": 1})
    project.kubectl("wait", "--for=condition=Ready", "flow/f", "--timeout=60s")
    forbid(project, what)
    project.run("r", "f")
    project.until("the refusal", lambda: "exceeded quota: q" in project.state("r")[1], seconds=20)
    state, words = project.state("r")
    assert state == "Pending"
    assert words.startswith(f"{what[:-1].capitalize()} r-a1 is refused: ")
    assert words.endswith("; it is tried again")
    allow(project)
    project.finish("r", seconds=120)
    assert project.state("r")[0] == "Success"


def test_a_flow_tells_that_its_version_is_refused(project: Any) -> None:
    project.flow("f", CODE)
    project.kubectl("wait", "--for=condition=Ready", "flow/f", "--timeout=60s")
    forbid(project, "count/flowversions.headwater.dev")
    project.flow("f", CODE + "\n    # edited")
    project.flow("new", CODE)
    project.until(
        "the edited one", lambda: said(project, "f", "Reconciling").startswith("VersionRefused: "), seconds=20
    )
    assert said(project, "f", "Reconciling").endswith("; it is tried again; f-v1 stays current")
    project.until("the new one", lambda: said(project, "new", "Reconciling").startswith("VersionRefused: "), seconds=20)
    for name in ("f", "new"):
        flow = project.get("flow", name)
        assert flow["status"]["observedGeneration"] == flow["metadata"]["generation"]
    allow(project)
    project.kubectl("wait", "--for=condition=Ready", "flow/f", "flow/new", "--timeout=90s")
    assert project.get("flow", "f")["status"]["currentVersion"]["name"] == "f-v2"


def test_a_run_whose_claim_is_refused_has_ended_and_leaves_its_slot(project: Any) -> None:
    project.flow("f", CODE, concurrency={"limit": 1})
    project.kubectl("wait", "--for=condition=Ready", "flow/f", "--timeout=60s")
    forbid(project, "count/configmaps")
    project.run("once", "f", idempotencyKey="monday")
    project.until("the slot is taken", lambda: project.get("flowrun", "once")["status"].get("attempt"))
    project.run("next", "f")
    words = "it has ended (Success); its claim is refused: "
    project.until("its end", lambda: project.state("once")[1].startswith(words), seconds=60)
    project.finish("next", seconds=90)
    assert project.state("once")[0] == "Pending"
    allow(project)
    project.finish("once", seconds=90)
    assert project.state("once")[0] == "Success"
    project.run("twin", "f", idempotencyKey="monday")
    project.finish("twin")
    assert "attempt" not in project.get("flowrun", "twin")["status"]


def test_helm_goes_on_waiting_while_a_quota_gives_way(project: Any, helm: Any, tmp_path: Path) -> None:
    execution = {"provisioner": "InProcess"}
    files = {"flow.py": textwrap.dedent(CODE)}
    flow = {
        "apiVersion": "headwater.dev/v1alpha1",
        "kind": "Flow",
        "metadata": {"name": "f"},
        "spec": {"entrypoint": "flow.py:flow", "source": {"files": files}, "execution": execution},
    }
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: sales\nversion: 0.1.0\n")
    (tmp_path / "templates" / "all.yaml").write_text(yaml.safe_dump(flow))
    forbid(project, "pods")
    seen: list[str] = []

    def give_way() -> None:
        project.until("the trouble", lambda: said(project, "f", "Reconciling").startswith("PodRefused: "))
        seen.append(said(project, "f", "Stalled"))
        allow(project)

    later = threading.Timer(5, give_way)
    later.start()
    helm("install", "sales", str(tmp_path), "-n", project.name, "--wait", "--timeout", "120s")
    later.join()
    assert seen == [""]
    assert said(project, "f", "Ready").startswith("VersionReady: ")
