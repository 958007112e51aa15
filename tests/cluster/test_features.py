"""Every feature of the functional API in FlowRuns: the flows of tests/features, and what they come to there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features import flows

pytestmark = pytest.mark.cluster

FILES = {"flows.py": Path(flows.__file__).read_text()}
POD_WORKERS = {"provisioner": "Pods", "workers": 2}
IN_PROCESS = {"provisioner": "InProcess", "threadsPerWorker": 4}


def child_counts(entry: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in entry["mapped"].items() if count and name != "total"}


def counted(states: list[str]) -> dict[str, int]:
    names = {"Success": "success", "Failed": "failed", "TriggerFailed": "failed", "Skipped": "skipped"}
    return {names[state]: sum(names[state] == names[other] for other in states) for state in states}


@pytest.mark.parametrize("execution", [IN_PROCESS, POD_WORKERS], ids=["InProcess", "Pods"])
def test_every_feature_comes_to_the_same_in_a_flow_run(project: Any, execution: dict[str, Any]) -> None:
    names = sorted(flows.FLOWS)
    for name in names:
        spec = {"entrypoint": f"flows.py:{name}", "source": {"files": FILES}, "execution": execution}
        project.apply(resource("Flow", name, spec), resource("FlowRun", f"{name}-1", {"flow": name}))
    wrong = {name: found for name in names if (found := difference(project.finish(f"{name}-1", 300), name))}
    assert wrong == {}


def difference(run: dict[str, Any], name: str) -> dict[str, Any]:
    """What is not as expected."""
    succeeded = next(c for c in run["status"]["conditions"] if c["type"] == "Succeeded")
    tasks = {entry["name"]: entry for entry in run["status"].get("tasks", [])}
    found = {}
    for label, state in flows.EXPECTED[name].items():
        entry = tasks.get(label, {})
        as_expected = (
            entry.get("state") == "Mapped" and child_counts(entry) == counted(state)
            if isinstance(state, list)
            else entry.get("state") == state
        )
        if not as_expected:
            found[label] = entry
    for label, entry in tasks.items():
        if label.startswith("check") and entry["state"] not in ("Success", "Mapped"):
            found[label] = entry
    if succeeded["reason"] != ("Failed" if name in flows.FAILS else "Success"):
        found["run"] = succeeded
    return found


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "headwater.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
