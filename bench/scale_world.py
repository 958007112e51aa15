"""What bench/scale.py measures the operator with: nodes that kwok plays, flows, finished runs and runs under way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes import client, config

from headwater.resources.conditions import RunState, ready, run_conditions, timestamp, to_manifest
from headwater.resources.names import API_VERSION
from headwater.resources.versions import spec_hash, versioned
from headwater_operator.objects.others import flow_version

ROOT = Path(__file__).parents[1]
NAMESPACE = "bench-scale"
RUNS_PER_FLOW = 200
NODES = 4
# By which pods find the nodes that are played, and no other pod does.
PLAYED = {"headwater.dev/bench": "played"}


class Client:
    """Requests to the API server that KUBECONFIG names, many at once."""

    def __init__(self) -> None:
        config.load_kube_config()
        found = client.Configuration.get_default_copy()
        context = ssl.create_default_context(cafile=found.ssl_ca_cert)
        if found.cert_file:
            context.load_cert_chain(found.cert_file, found.key_file)
        token = found.api_key.get("authorization")
        self._server = found.host
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=32), headers={"Authorization": token} if token else {}
        )

    async def send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Return what the API server answers. Raises LookupError for what is not there."""
        return json.loads(await self.text(method, path, body, kind))

    async def text(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> str:
        async with self._session.request(
            method, self._server + path, data=None if body is None else json.dumps(body), headers={"Content-Type": kind}
        ) as answer:
            found = await answer.text()
            if answer.status == 404:
                raise LookupError(path)
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {found}")
            return found

    async def make(self, plural: str, manifest: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
        path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{plural}"
        made: dict[str, Any] = await self.send("POST", path, manifest)
        return made if status is None else await self.status(plural, made["metadata"]["name"], status)

    async def status(self, plural: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
        path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{plural}/{name}/status"
        made: dict[str, Any] = await self.send("PATCH", path, {"status": status}, "application/merge-patch+json")
        return made

    async def close(self) -> None:
        await self._session.close()


async def at_once(calls: list[Any], width: int = 32) -> None:
    gate = asyncio.Semaphore(width)

    async def one(call: Any) -> None:
        async with gate:
            await call

    await asyncio.gather(*map(one, calls))


@contextlib.asynccontextmanager
async def played_nodes(client: Client) -> AsyncIterator[None]:
    """Nodes without machines: kwok says of the pods that are bound to them that they run, and lets them go."""
    program = subprocess.run(
        [ROOT / "scripts" / "go-program", "bench/kwok"], check=True, capture_output=True, text=True
    )
    selector = ",".join(f"{key}={value}" for key, value in PLAYED.items())
    command = [program.stdout.strip(), "--kubeconfig", os.environ["KUBECONFIG"]]
    command += ["--manage-all-nodes=false", f"--manage-nodes-with-label-selector={selector}"]
    names = [f"bench-{number}" for number in range(NODES)]
    playing = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for name in names:
            with contextlib.suppress(LookupError):  # of a bench that was stopped
                await client.send("DELETE", f"/api/v1/nodes/{name}")
            await client.send("POST", "/api/v1/nodes", node(name))
        yield
    finally:
        for name in names:
            with contextlib.suppress(LookupError):
                await client.send("DELETE", f"/api/v1/nodes/{name}")
        playing.terminate()
        playing.wait()


def node(name: str) -> dict[str, Any]:
    room = {"cpu": "1000", "memory": "1000Gi", "pods": "1000"}
    taints = [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in PLAYED.items()]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": PLAYED},
        "spec": {"taints": taints},
        "status": {"allocatable": room, "capacity": room},
    }


@contextlib.asynccontextmanager
async def own_namespace(client: Client) -> AsyncIterator[None]:
    """A namespace that is not there before and afterwards."""
    await forget_namespace(client)
    await client.send(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )
    try:
        yield
    finally:
        await forget_namespace(client)


async def forget_namespace(client: Client) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}"
    with contextlib.suppress(LookupError):
        await client.send("DELETE", path)
        while True:
            await client.send("GET", path)
            await asyncio.sleep(1)


# What there is


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


async def make_flow(client: Client, number: int) -> None:
    """A Flow with a schedule for each day of the year in turn, and its version, inspected."""
    month, day = divmod(number % 330, 28)
    schedule = {"name": "yearly", "cron": f"0 3 {day + 1} {month + 1} *", "timeZone": "Europe/Berlin"}
    there = {
        "nodeSelector": PLAYED,
        "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in PLAYED],
    }
    spec = {
        "entrypoint": "flow:flow",
        "image": "bench/flow:1",
        "schedules": [schedule],
        "history": {"succeeded": 10000, "failed": 10000},
        "execution": {"provisioner": "Pods", "workers": 1, "threadsPerWorker": 1, "runner": there, "worker": there},
    }
    flow = await client.make("flows", manifest("Flow", f"flow-{number:04}", spec))
    frozen = versioned(flow["spec"], "")
    version = flow_version(flow=flow, number=1, frozen=frozen, spec_hash=spec_hash(frozen))
    now = datetime.now(UTC)
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    status = {
        "observedGeneration": 1,
        "image": f"bench/flow@sha256:{'0' * 64}",
        "graph": {"tasks": [{"name": name, "slug": f"{name}-1", "upstream": []} for name in ("one", "two", "three")]},
        "parametersSchema": schema,
        "conditions": to_manifest(ready("Inspected", "3 tasks"), [], 1, now),
    }
    await client.make("flowversions", version, status)


def tasks(state: str) -> list[dict[str, Any]]:
    now = timestamp(time.time())
    return [{"name": name, "state": state, "startedAt": now, "runs": 1} for name in ("one", "two", "three")]


async def make_finished(client: Client, number: int, flows: int) -> None:
    flow = number // RUNS_PER_FLOW % flows
    now = datetime.now(UTC)
    status = {
        "observedGeneration": 1,
        "version": {"name": f"flow-{flow:04}-v1", "number": 1, "image": "bench/flow:1"},
        "attempt": {"number": 1, "podName": f"run-{number:05}-a1", "podUID": "gone", "startedAt": timestamp(now)},
        "tasks": tasks("Success"),
        "progress": {"text": "3/3", "total": 3, "success": 3},
        "report": {"state": "Success", "message": "All 3 tasks succeeded", "finishedAt": timestamp(now)},
        "startedAt": timestamp(now),
        "finishedAt": timestamp(now),
        "timeline": {"createdAt": timestamp(now), "finishedAt": timestamp(now)},
        "conditions": to_manifest(run_conditions(RunState.SUCCESS, "All 3 tasks succeeded"), [], 1, now),
    }
    await client.make("flowruns", manifest("FlowRun", f"run-{number:05}", {"flow": f"flow-{flow:04}"}), status)


# Runs under way


async def make_active(client: Client, number: int, flows: int) -> None:
    """A run, and what its runner would say when it has a worker."""
    name = f"live-{number:04}"
    await client.make("flowruns", manifest("FlowRun", name, {"flow": f"flow-{number % flows:04}"}))
    await asyncio.gather(*(until_running(client, pod) for pod in (f"{name}-a1", f"{name}-a1-w0")))
    await report(client, number, 0)


async def until_running(client: Client, pod: str) -> None:
    for _ in range(600):
        with contextlib.suppress(LookupError):
            found = await client.send("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}")
            if found["status"].get("phase") == "Running":
                return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"pod {pod} does not run after a minute")


FIRST_TASK_AT = timestamp(time.time())


async def report(client: Client, number: int, done: int) -> None:
    counts = {"text": f"{done}/100000", "total": 100000, "success": done, "running": 1, "pending": 99999 - done}
    status = {"tasks": tasks("Running"), "progress": counts, "timeline": {"firstTaskAt": FIRST_TASK_AT}}
    await client.status("flowruns", f"live-{number:04}", status)


async def keep_reporting(client: Client, active: int, stop: asyncio.Event) -> None:
    done = 0
    while not stop.is_set():
        done += 1
        began = time.monotonic()
        await at_once([report(client, number, done) for number in range(active)], width=4)
        await asyncio.sleep(max(0.0, 5.0 - (time.monotonic() - began)))
