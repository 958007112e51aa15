"""What the operator costs with many runs: memory, start, reconciliations, idle CPU.

    python bench/scale.py [--finished 1000 3000 10000] [--active 200] [--flows 500] [--json FILE]

An API server and an etcd of its own, from the local node's programs (`localnode build`), and the operator as a process
beside them. Runs and flows are real objects; pods are pretended: nobody starts them, their states and what their
runners would report are written by this program. For each number of finished runs, on a fresh API server:

    start   from the start of the operator's process until each Flow has its next time and nothing more is reconciled
    idle    CPU time per second of the following minute, in which everything is looked at once (the resync)
    active  the same with that many runs under way, whose runners write every five seconds
    p99     of the reconciliations of that minute, from the operator's own histogram; rss: the highest memory
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families
from scale_world import (
    NAMESPACE,
    SERVER,
    TOKEN,
    Client,
    api_server,
    at_once,
    keep_reporting,
    make_active,
    make_finished,
    make_flow,
)

from headwater.resources.names import API_VERSION

ROOT = Path(__file__).parents[1]
METRICS = "http://127.0.0.1:8080/metrics"
QUIET_SECONDS = 3.0
COUNT = ("headwater_reconcile_seconds_count", "")


class Operator:
    """The operator's process, and what is seen of it from outside."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "operator.log"
        kubeconfig = folder / "kubeconfig"
        cluster = {"server": SERVER, "insecure-skip-tls-verify": True}
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "bench",
                    "clusters": [{"name": "bench", "cluster": cluster}],
                    "users": [{"name": "bench", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
                }
            )
        )
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HEADWATER_TLS": "false"}
        self._out = self._log.open("w")  # the process writes to it as long as it lives
        self.began = time.monotonic()
        command = [sys.executable, "-m", "headwater_operator"]
        self._process = subprocess.Popen(command, env=environment, stdout=self._out, stderr=self._out)
        self._seen = psutil.Process(self._process.pid)
        self.highest = 0.0

    def look(self) -> None:
        self.highest = max(self.highest, self._seen.memory_info().rss / 2**20)

    @property
    def cpu_seconds(self) -> float:
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)


async def busy(seconds: float, operator: Operator) -> float:
    """Return the operator's CPU seconds per second while *seconds* pass."""
    cpu, began = operator.cpu_seconds, time.monotonic()
    while time.monotonic() - began < seconds:
        operator.look()
        await asyncio.sleep(0.5)
    return (operator.cpu_seconds - cpu) / (time.monotonic() - began)


async def caught_up(client: Client, operator: Operator, flows: int) -> float:
    """Wait until each Flow has its next time and nothing is reconciled for QUIET_SECONDS; return the seconds from the
    start to when that began."""
    path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/flows"
    while True:
        operator.look()
        found = await client.send("GET", path)
        if sum(1 for flow in found["items"] if flow.get("status", {}).get("nextRunTime")) == flows:
            break
        await asyncio.sleep(0.2)
    count, since = -1.0, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        operator.look()
        found = await scraped()
        if found[COUNT] != count or found["headwater_queue_length", ""] > 0:
            count, since = found[COUNT], time.monotonic()
        await asyncio.sleep(0.2)
    return since - operator.began


async def scraped() -> dict[tuple[str, str], float]:
    """What the operator tells Prometheus: by sample and, of a histogram, its bucket; summed over other labels."""
    async with aiohttp.ClientSession() as session, session.get(METRICS) as answer:
        text = await answer.text()
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, sample.labels.get("le", ""))
            found[key] = found.get(key, 0.0) + sample.value
    return found


def percentile(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float], share: float) -> float:
    """Return the bound, in ms, below which this share of the reconciliations between two scrapes were."""
    name = "headwater_reconcile_seconds_bucket"
    counts = {float(le): value - before.get((n, le), 0.0) for (n, le), value in after.items() if n == name}
    total = counts[float("inf")]
    return 1000 * min(bound for bound, count in counts.items() if count >= share * total)


async def measure(folder: Path, finished: int, active: int, flows: int) -> dict[str, float]:
    client = Client()
    await client.until_ready()
    for crd in sorted((ROOT / "crds").glob("*.yaml")):
        await client.send(
            "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(crd.read_text())
        )
    await asyncio.sleep(3)
    await at_once([make_flow(client, number) for number in range(flows)])
    await at_once([make_finished(client, number, flows) for number in range(finished)])
    operator = Operator(folder)
    try:
        start = await caught_up(client, operator, flows)
        rested = await scraped()
        idle = await busy(65, operator)
        idle_count = (await scraped())[COUNT] - rested[COUNT]
        await at_once([make_active(client, number, flows) for number in range(active)], width=16)
        before = await scraped()
        stop = asyncio.Event()
        reporting = asyncio.create_task(keep_reporting(client, active, stop))
        with_active = await busy(65, operator)
        stop.set()
        await reporting
        after = await scraped()
        found = {
            "finished": finished,
            "start_seconds": start,
            "idle_cpu": idle,
            "idle_reconciliations": idle_count,
            "active": active,
            "active_cpu": with_active,
            "reconciliations": after[COUNT] - before[COUNT],
            "p50_ms_below": percentile(before, after, 0.5),
            "p99_ms_below": percentile(before, after, 0.99),
            "rss_mib": operator.highest,
        }
    finally:
        operator.close()
        await client.close()
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--finished", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--active", type=int, default=200)
    parser.add_argument("--flows", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    for finished in options.finished:
        with tempfile.TemporaryDirectory() as name, api_server(Path(name)):
            results.append(asyncio.run(measure(Path(name), finished, options.active, options.flows)))
        print(json.dumps(results[-1]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
