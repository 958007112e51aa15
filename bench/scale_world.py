"""What bench/scale.py measures the operator with: an API server of its own, flows, finished runs and runs under way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from headwater.resources.conditions import RunState, ready, run_conditions, timestamp, to_manifest
from headwater.resources.names import API_VERSION
from headwater.resources.versions import spec_hash, versioned
from headwater_operator.objects.others import flow_version

CACHE = Path(os.environ.get("HEADWATER_CACHE", Path.home() / ".cache" / "headwater"))
API_PORT, ETCD_PORT = 17443, 17379
SERVER, TOKEN = f"https://127.0.0.1:{API_PORT}", "bench"
NAMESPACE = "default"
RUNS_PER_FLOW = 200


# An API server of its own


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[None]:
    programs = max((CACHE / "localnode").glob("*/kube-apiserver"), key=lambda path: path.stat().st_mtime).parent
    (folder / "tokens").write_text(f"{TOKEN},bench,bench,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "accounts.key"], check=True, capture_output=True)
    etcd = [
        *(programs / "etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--log-level", "error"),
        *(
            f"--listen-client-urls=http://127.0.0.1:{ETCD_PORT}",
            f"--advertise-client-urls=http://127.0.0.1:{ETCD_PORT}",
        ),
        *(f"--listen-peer-urls=http://127.0.0.1:{ETCD_PORT + 1}", "--name=bench"),
        f"--initial-advertise-peer-urls=http://127.0.0.1:{ETCD_PORT + 1}",
        f"--initial-cluster=bench=http://127.0.0.1:{ETCD_PORT + 1}",
    ]
    server = [
        *(programs / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}", f"--secure-port={API_PORT}"),
        *("--authorization-mode=AlwaysAllow", f"--token-auth-file={folder / 'tokens'}", f"--cert-dir={folder}"),
        *("--service-account-issuer=https://bench", f"--service-account-key-file={folder / 'accounts.key'}"),
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        *("--service-cluster-ip-range=10.250.0.0/16", "--disable-admission-plugins=ServiceAccount"),
    ]
    with (folder / "log").open("w") as log:
        started = [subprocess.Popen(list(map(str, command)), stdout=log, stderr=log) for command in (etcd, server)]
        try:
            yield
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


class Client:
    """Requests to the API server, many at once."""

    def __init__(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=32), headers={"Authorization": f"Bearer {TOKEN}"}
        )

    async def send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        async with self._session.request(
            method, SERVER + path, data=None if body is None else json.dumps(body), headers={"Content-Type": kind}
        ) as answer:
            found = await answer.json()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {found.get('message')}")
            return found

    async def make(self, plural: str, manifest: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
        path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{plural}"
        made: dict[str, Any] = await self.send("POST", path, manifest)
        return made if status is None else await self.status(plural, made["metadata"]["name"], status)

    async def status(self, plural: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
        group = "/api/v1" if plural == "pods" else f"/apis/{API_VERSION}"
        path = f"{group}/namespaces/{NAMESPACE}/{plural}/{name}/status"
        made: dict[str, Any] = await self.send("PATCH", path, {"status": status}, "application/merge-patch+json")
        return made

    async def until_ready(self) -> None:
        for _ in range(300):
            with contextlib.suppress(aiohttp.ClientError):
                async with self._session.get(f"{SERVER}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)
        raise RuntimeError("the API server does not get ready")

    async def close(self) -> None:
        await self._session.close()


async def at_once(calls: list[Any], width: int = 32) -> None:
    gate = asyncio.Semaphore(width)

    async def one(call: Any) -> None:
        async with gate:
            await call

    await asyncio.gather(*map(one, calls))


# What there is


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


async def make_flow(client: Client, number: int) -> None:
    """A Flow with a schedule for each day of the year in turn, and its version, inspected."""
    month, day = divmod(number % 330, 28)
    schedule = {"name": "yearly", "cron": f"0 3 {day + 1} {month + 1} *", "timeZone": "Europe/Berlin"}
    spec = {
        "entrypoint": "flow:flow",
        "image": "bench/flow:1",
        "schedules": [schedule],
        "history": {"succeeded": 10000, "failed": 10000},
        "execution": {"provisioner": "Pods", "workers": 1, "threadsPerWorker": 1},
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
    """A run; what the kubelet and its runner would say when its pods have started."""
    name = f"live-{number:04}"
    await client.make("flowruns", manifest("FlowRun", name, {"flow": f"flow-{number % flows:04}"}))
    for pod in (f"{name}-a1", f"{name}-a1-w0"):
        for _ in range(600):
            try:
                await client.send("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}")
                break
            except RuntimeError:
                await asyncio.sleep(0.1)
        now = timestamp(time.time())
        container = {"name": "flow", "image": "bench/flow:1", "imageID": "", "ready": True, "restartCount": 0}
        container["state"] = {"running": {"startedAt": now}}
        await client.status("pods", pod, {"phase": "Running", "startTime": now, "containerStatuses": [container]})
    await report(client, number, 0)


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
