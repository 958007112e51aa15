"""What the operator costs with many runs: memory, start, reconciliations, idle CPU.

    python bench/scale.py [--finished 1000 3000 10000] [--active 200] [--flows 500] [--json FILE]

Needs the local node with Headwater in it (KUBECONFIG), and Go for kwok, which plays the nodes on which the pods of
the runs are said to run. Runs and flows are real objects, and the operator is the one of the chart, in its pod; what
the runners would report is written by this program. For each number of finished runs, in a new namespace:

    start   from when the operator is asked for until each Flow has its next time and nothing more is reconciled
    idle    CPU time per second of the following minute, in which everything is looked at once (the resync)
    active  the same with that many runs under way, whose runners write every five seconds
    p99     of the reconciliations of that minute, from the operator's own histogram; rss: the highest memory
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families
from scale_world import (
    NAMESPACE,
    Client,
    at_once,
    keep_reporting,
    make_active,
    make_finished,
    make_flow,
    own_namespace,
    played_nodes,
)

from headwater.resources.names import API_VERSION

OPERATOR = "/apis/apps/v1/namespaces/headwater-system/deployments/headwater-operator/scale"
METRICS = "/api/v1/namespaces/headwater-system/services/headwater-operator:8080/proxy/metrics"
QUIET_SECONDS = 3.0
COUNT = ("headwater_reconcile_seconds_count", "")
Scrape = dict[tuple[str, str], float]


def process() -> psutil.Process | None:
    """The operator's process, which is one of this machine's."""
    for found in psutil.process_iter(["cmdline"]):
        if (found.info["cmdline"] or [])[1:] == ["-m", "headwater_operator"]:
            return found
    return None


async def scale(client: Client, replicas: int) -> None:
    """Ask for the operator, or for none; wait until it is there or gone."""
    await client.send("PATCH", OPERATOR, {"spec": {"replicas": replicas}}, "application/merge-patch+json")
    while (process() is not None) != bool(replicas):
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def no_operator(client: Client) -> AsyncIterator[None]:
    """No operator while the world is made, and one again whatever happens."""
    await scale(client, 0)
    try:
        yield
    finally:
        await scale(client, 1)


def highest_mib(operator: psutil.Process) -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{operator.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


async def busy(seconds: float, operator: psutil.Process) -> float:
    """Return the operator's CPU seconds per second while *seconds* pass."""
    before, began = operator.cpu_times(), time.monotonic()
    await asyncio.sleep(seconds)
    after = operator.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - began)


async def caught_up(client: Client, began: float, flows: int) -> float:
    """Wait until each Flow has its next time and nothing is reconciled for QUIET_SECONDS; return the seconds from
    *began* to when that began."""
    path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/flows"
    while True:
        found = await client.send("GET", path)
        if sum(1 for flow in found["items"] if flow.get("status", {}).get("nextRunTime")) == flows:
            break
        await asyncio.sleep(0.5)
    count, since = -1.0, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        with contextlib.suppress(RuntimeError):  # the Service has no address before the pod is ready
            found = await scraped(client)
            if found[COUNT] != count or found["headwater_queue_length", ""] > 0:
                count, since = found[COUNT], time.monotonic()
        await asyncio.sleep(0.2)
    return since - began


async def scraped(client: Client) -> Scrape:
    """What the operator tells Prometheus: by sample and, of a histogram, its bucket; summed over other labels."""
    found: Scrape = {}
    for family in text_string_to_metric_families(await client.text("GET", METRICS)):
        for sample in family.samples:
            key = (sample.name, sample.labels.get("le", ""))
            found[key] = found.get(key, 0.0) + sample.value
    return found


def percentile(before: Scrape, after: Scrape, share: float) -> float:
    """Return the bound, in ms, below which this share of the reconciliations between two scrapes were."""
    name = "headwater_reconcile_seconds_bucket"
    counts = {float(le): value - before.get((n, le), 0.0) for (n, le), value in after.items() if n == name}
    total = counts[float("inf")]
    return 1000 * min(bound for bound, count in counts.items() if count >= share * total)


async def measure(client: Client, finished: int, active: int, flows: int) -> dict[str, float]:
    async with no_operator(client):
        await at_once([make_flow(client, number) for number in range(flows)])
        await at_once([make_finished(client, number, flows) for number in range(finished)])
        began = time.monotonic()
    operator = process()
    assert operator is not None
    start = await caught_up(client, began, flows)
    rested = await scraped(client)
    idle = await busy(65, operator)
    idle_count = (await scraped(client))[COUNT] - rested[COUNT]
    await at_once([make_active(client, number, flows) for number in range(active)], width=16)
    before = await scraped(client)
    stop = asyncio.Event()
    reporting = asyncio.create_task(keep_reporting(client, active, stop))
    with_active = await busy(65, operator)
    stop.set()
    await reporting
    after = await scraped(client)
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
        "rss_mib": highest_mib(operator),
    }
    return {name: round(value, 3) for name, value in found.items()}


async def bench(options: argparse.Namespace) -> list[dict[str, float]]:
    results = []
    client = Client()
    try:
        async with played_nodes(client):
            for finished in options.finished:
                async with own_namespace(client):
                    results.append(await measure(client, finished, options.active, options.flows))
                    print(json.dumps(results[-1]), flush=True)
                    await scale(client, 0)  # it need not see them all go
    finally:
        with contextlib.suppress(Exception):
            await scale(client, 1)
        await client.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--finished", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--active", type=int, default=200)
    parser.add_argument("--flows", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = asyncio.run(bench(options))
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
