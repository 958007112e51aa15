"""A cluster with this tree's operator in it, and words to say what a user would do there.

Every test has a namespace of its own that enforces the PodSecurity standard `restricted`.
Nothing is faked: the API server, the pods, Dask and the operator are the real ones.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Manifest = dict[str, Any]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def operator(kubectl: Any, installed: str) -> str:
    """The operator of this tree, freshly started; return its namespace."""
    kubectl("-n", installed, "rollout", "restart", "deployment/headwater-operator")
    kubectl("-n", installed, "rollout", "status", "deployment/headwater-operator", "--timeout=90s")
    return installed


class Project:
    """A namespace, and what a user does in it."""

    def __init__(self, kubectl: Any, name: str) -> None:
        self._kubectl = kubectl
        self.name = name

    def kubectl(self, *args: str, **options: Any) -> Any:
        return self._kubectl("-n", self.name, *args, **options)

    def get(self, *args: str) -> Manifest:
        return json.loads(self.kubectl("get", *args, "-o", "json").stdout)

    def list(self, kind: str, *args: str) -> list[Manifest]:
        return self.get(kind, *args)["items"]

    def apply(self, *manifests: Manifest) -> None:
        text = "\n---\n".join(json.dumps(manifest) for manifest in manifests)
        self.kubectl("apply", "-f", "-", input=text)

    def flow(self, name: str, code: str, **spec: Any) -> None:
        """Apply a flow that is in its resource. It runs InProcess unless it says otherwise."""
        spec = {
            "entrypoint": "flow.py:flow",
            "source": {"files": {"flow.py": textwrap.dedent(code)}},
            "execution": {"provisioner": "InProcess"},
            **spec,
        }
        self.apply(resource("Flow", name, spec))

    def run(self, name: str, flow: str, **spec: Any) -> None:
        self.apply(resource("FlowRun", name, {"flow": flow, **spec}))

    def set_aside_volume(self, claim: str, request: pytest.FixtureRequest) -> None:
        """On a local node, which has no storage class, set a volume aside for the claim."""
        if self.kubectl("get", "storageclass", "-o", "name").stdout:
            return
        subprocess.run([ROOT / "localnode" / "localnode", "volume", f"{self.name}/{claim}"], check=True)
        request.addfinalizer(lambda: self.kubectl("delete", "pv", f"{self.name}.{claim}", "--wait=false"))

    def state(self, run: str) -> tuple[str, str]:
        """(state, message) of a run."""
        found = condition(self.get("flowrun", run), "Succeeded")
        return found["reason"], found["message"]

    def tasks(self, run: str) -> dict[str, str]:
        return {task["name"]: task["state"] for task in self.get("flowrun", run)["status"].get("tasks", [])}

    def finish(self, run: str, seconds: float = 90) -> Manifest:
        """Wait as a user would, with kubectl wait; return the finished run."""
        self.kubectl("wait", "--for=condition=Finished", f"--timeout={seconds:.0f}s", f"flowrun/{run}")
        return self.get("flowrun", run)

    def until(self, what: str, look: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait until *look* gives something true; return it. Fails with what there was instead."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                there = self.kubectl("get", "flows,flowversions,flowruns,pods", "-o", "wide").stdout
                pytest.fail(f"{what}: not within {seconds} s; there is\n{there}")
            time.sleep(0.1)

    def pods(self, **labels: str) -> list[str]:
        selector = ",".join(f"headwater.dev/{key}={value}" for key, value in labels.items())
        return [pod["metadata"]["name"] for pod in self.list("pods", "-l", selector)]


def resource(kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": "headwater.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def condition(manifest: Manifest, type: str) -> Manifest:
    return next(c for c in manifest["status"]["conditions"] if c["type"] == type)


@pytest.fixture
def project(kubectl: Any, operator: str) -> Iterator[Project]:
    name = f"test-{secrets.token_hex(4)}"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl(
        "create",
        "-f",
        "-",
        input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted}}),
    )
    yield Project(kubectl, name)
    kubectl("delete", "namespace", name, "--wait=false")
