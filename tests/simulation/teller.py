"""What a story does, in a namespace of its own."""

from __future__ import annotations

from typing import Any

from headwater.resources.conditions import find
from headwater.resources.names import LIMITS, ROLE_LABEL
from headwater_operator.kinds import (
    FLOW,
    FLOW_RUN,
    FLOW_VERSION,
    POD,
    Kind,
    Manifest,
)
from simulation.kubelet import Gone, Kubelet
from simulation.values import (
    is_live,
    result_of,
)
from simulation.world import World


class Teller:
    """What a story does, in a namespace of its own."""

    def __init__(self, world: World, namespace: str) -> None:
        self.world = world
        self.namespace = namespace

    def flow(self, workers: int = 0, name: str = "etl", **spec: Any) -> None:
        execution = {"provisioner": "Pods", "workers": workers} if workers else {"provisioner": "InProcess"}
        body = {"image": "acme/etl:1", "entrypoint": "flow.py:flow", "execution": execution, **spec}
        self._make("Flow", name, body)

    def edit(self, name: str = "etl", **spec: Any) -> None:
        self.world.edit(FLOW, self.namespace, name, **spec)

    def run(
        self,
        name: str,
        ends: str | None,
        flow: str = "etl",
        version: int | None = None,
        spec: Manifest | None = None,
        **parameters: Any,
    ) -> None:
        """Make a run; *ends* is the state that it has to reach, *spec* what else it says."""
        whole: Manifest = {"flow": flow, "parameters": parameters, **(spec or {})}
        self._make("FlowRun", name, whole if version is None else {**whole, "version": version})
        if ends is not None:
            self.world.expected[(self.namespace, name)] = ends

    def limits(self, **slots: str) -> None:
        metadata = {"name": "limits", "namespace": self.namespace, "labels": {ROLE_LABEL: LIMITS}}
        self.world.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": slots})

    def full(self, *kinds: Kind) -> None:
        """Let nothing more of these kinds be made."""
        self.world.full |= {(self.namespace, kind.name) for kind in kinds}

    def room(self) -> None:
        """Let everything be made again."""
        self.world.full = {found for found in self.world.full if found[0] != self.namespace}

    def runs(self) -> set[str]:
        return {run["metadata"]["name"] for run in self.world.all(FLOW_RUN, self.namespace)}

    def _make(self, kind: str, name: str, spec: Manifest) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.world.create({"apiVersion": "headwater.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})

    def status(self, kind: Kind, name: str) -> Manifest:
        return dict(self.world.objects.get((kind.name, self.namespace, name), {}).get("status", {}))

    async def ready(self, name: str = "etl") -> None:
        """Wait until the flow as it is now is current."""

        def true() -> bool:
            flow = self.world.get(FLOW, self.namespace, name)
            condition = find(flow["status"]["conditions"], "Ready")
            agrees = flow["status"]["observedGeneration"] == flow["metadata"]["generation"]
            return agrees and condition is not None and condition["status"] == "True"

        await self.world.until(true)

    async def begun(self, run: str) -> None:
        def true() -> bool:
            status = self.status(FLOW_RUN, run)
            return "firstTaskAt" in status.get("timeline", {}) or result_of({"status": status}) is not None

        await self.world.until(true)

    async def finished(self, *runs: str) -> None:
        for run in runs:
            await self.world.until(lambda run=run: result_of({"status": self.status(FLOW_RUN, run)}) is not None)

    async def told(self, words: str) -> None:
        """Wait until a flow, version or run says these words."""

        def true() -> bool:
            found = [m for kind in (FLOW, FLOW_VERSION, FLOW_RUN) for m in self.world.all(kind, self.namespace)]
            return any(words in condition["message"] for m in found for condition in m["status"]["conditions"])

        await self.world.until(true, 600)

    def pods(self, role: str) -> list[Manifest]:
        return [p for p in self.world.all(POD, self.namespace, f"{ROLE_LABEL}={role}") if is_live(p)]

    def take(self, kind: Kind, name: str) -> None:
        """Delete something by hand."""
        self.world.note(f"by hand: delete {kind.name} {name}")
        if kind is POD:
            self.world.by_hand.add(self.world.get(POD, self.namespace, name)["metadata"]["uid"])
        if kind is FLOW_RUN:
            self.world.expected.pop((self.namespace, name), None)
        self.world.delete(kind, self.namespace, name)

    def cancel(self, run: str, how: str) -> None:
        spec = self.world.get(FLOW_RUN, self.namespace, run)["spec"]
        self.world.edit(FLOW_RUN, self.namespace, run, **{**spec, "cancel": how})

    def crash(self, pod: Manifest) -> None:
        """End a pod the hard way."""
        self.world.note(f"by hand: {pod['metadata']['name']} is out of memory")
        kubelet = Kubelet(self.world, pod)
        try:
            kubelet.end(137, None, "OOMKilled")
        except Gone:
            return
