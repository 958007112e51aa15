"""Builders of objects as the operator sees them; every default is the ordinary case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater.resources.conditions import Condition, RunState, Status, run_conditions, to_manifest
from headwater_operator.settings import Settings

Manifest = dict[str, Any]
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


class Make:
    """Builders with defaults: `make.run(parameters={"a": 1})`."""

    now = NOW
    settings = Settings(namespace="headwater-system", tls=False)

    def at(self, seconds: float) -> datetime:
        return NOW + timedelta(seconds=seconds)

    def metadata(self, name: str, uid: str | None = None, **more: Any) -> Manifest:
        return {
            "name": name,
            "namespace": "sales",
            "uid": uid or f"uid-{name}",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-23T12:00:00Z",
            **more,
        }

    def flow(self, **spec: Any) -> Manifest:
        return {
            "apiVersion": "headwater.dev/v1alpha1",
            "kind": "Flow",
            "metadata": self.metadata("etl"),
            "spec": {"image": "acme/etl:1", "entrypoint": "flow.py:flow", **spec},
            "status": {},
        }

    def version(self, number: int = 1, ready: bool = True, hash: str = "h", **spec: Any) -> Manifest:
        name = f"etl-v{number}"
        status = "True" if ready else "Unknown"
        return {
            "apiVersion": "headwater.dev/v1alpha1",
            "kind": "FlowVersion",
            "metadata": self.metadata(name, labels={"headwater.dev/flow": "etl", "headwater.dev/spec-hash": hash}),
            "spec": {"flow": "etl", "number": number, "image": "acme/etl:1", "entrypoint": "flow.py:flow", **spec},
            "status": {
                "conditions": to_manifest([Condition("Ready", Status(status), "Inspected", "3 tasks")], [], 1, NOW),
                "parametersSchema": {
                    "type": "object",
                    "properties": {"airport": {}, "radius": {"default": 200}},
                    "required": [],
                    "additionalProperties": False,
                },
            },
        }

    def run(self, name: str = "etl-1", status: Manifest | None = None, **spec: Any) -> Manifest:
        return {
            "apiVersion": "headwater.dev/v1alpha1",
            "kind": "FlowRun",
            "metadata": self.metadata(name),
            "spec": {"flow": "etl", **spec},
            "status": {"observedGeneration": 0, "conditions": self.conditions(), **(status or {})},
        }

    def conditions(self, state: RunState = RunState.SCHEDULED, message: str = "waiting") -> list[Manifest]:
        return to_manifest(run_conditions(state, message), [], 1, NOW)

    def begun(self, **status: Any) -> Manifest:
        """The status of a run whose pods were made."""
        return {
            "version": {"name": "etl-v1", "number": 1, "image": "acme/etl:1"},
            "attempt": {
                "number": 1,
                "podName": "etl-1-a1",
                "podUID": "uid-etl-1-a1",
                "startedAt": "2026-11-23T12:00:00Z",
            },
            "timeline": {"createdAt": "2026-11-23T12:00:00Z", "admittedAt": "2026-11-23T12:00:00Z"},
            **status,
        }

    def pod(self, name: str, role: str, phase: str = "Running", **container: Any) -> Manifest:
        labels = {
            "headwater.dev/flow": "etl",
            "headwater.dev/version": "etl-v1",
            "headwater.dev/run": "etl-1",
            "headwater.dev/role": role,
        }
        if role == "inspection":
            del labels["headwater.dev/run"]
        status: Manifest = {"phase": phase}
        if container:
            status["containerStatuses"] = [{"name": "flow", "image": "acme/etl:1", **container}]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": self.metadata(name, labels=labels),
            "spec": {},
            "status": status,
        }

    def runner(self, phase: str = "Running", **container: Any) -> Manifest:
        container = container or {"state": {"running": {"startedAt": "2026-11-23T12:00:01Z"}}}
        return self.pod("etl-1-a1", "runner", phase, **container)

    def worker(self, index: int, phase: str = "Running", **container: Any) -> Manifest:
        return self.pod(f"etl-1-a1-w{index}", "worker", phase, **container)


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def condition() -> Callable[[Manifest, str], tuple[str, str, str]]:
    """Return (status, reason, message) of a condition in a status."""

    def find(status: Manifest, type: str) -> tuple[str, str, str]:
        found = [c for c in status["conditions"] if c["type"] == type]
        assert len(found) == 1, f"{type} is there once"
        return found[0]["status"], found[0]["reason"], found[0]["message"]

    return find
