"""What a task costs beside its work: a chain and a fan-out of tasks that do nothing.

    python bench/overhead.py [--rounds 5] [--chain 100] [--fanout 1000] [--json FILE]

One process, one local Dask cluster with one worker thread in a process of its own, everything in turn in each round:

    distributed   bare: the chain by submitting each step with the future of the one before, the fan-out by Client.map
    dask          the same as a Headwater flow on DaskExecutor, on the same cluster
    local         the same on LocalExecutor

Building the flow is not timed; fetching the results is.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from distributed import Client, LocalCluster

from headwater import Flow, task
from headwater.executors import DaskExecutor, LocalExecutor


def inc(x: int) -> int:
    return x + 1


increment = task(inc, name="increment")


def chain_flow(n: int) -> Flow:
    with Flow("chain") as flow:
        value = increment(0)
        for _ in range(n - 1):
            value = increment(value)
    return flow


def fanout_flow(n: int) -> Flow:
    with Flow("fanout") as flow:
        for i in range(n):
            increment(i)
    return flow


def bare_chain(client: Client, n: int) -> None:
    value = client.submit(inc, 0, pure=False)
    for _ in range(n - 1):
        value = client.submit(inc, value, pure=False)
    assert value.result() == n


def bare_fanout(client: Client, n: int) -> None:
    assert len(client.gather(client.map(inc, range(n), pure=False))) == n


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chain", type=int, default=100)
    parser.add_argument("--fanout", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.getLogger("headwater").addHandler(logging.NullHandler())
    sizes = {"chain": options.chain, "fanout": options.fanout}
    flows = {"chain": chain_flow(options.chain), "fanout": fanout_flow(options.fanout)}
    bare = {"chain": bare_chain, "fanout": bare_fanout}
    figures: dict[str, dict[str, list[float]]] = {shape: {} for shape in sizes}
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR
        ) as cluster,
        Client(cluster) as client,
    ):
        on_dask, here = DaskExecutor(cluster.scheduler_address), LocalExecutor()
        for number in range(options.rounds + 1):
            for shape, n in sizes.items():
                flow = flows[shape]
                works: dict[str, Callable[[], object]] = {
                    "distributed": lambda shape=shape, n=n: bare[shape](client, n),
                    "dask": lambda flow=flow: check(flow.run(executor=on_dask)),
                    "local": lambda flow=flow: check(flow.run(executor=here)),
                }
                for name, work in works.items():
                    seconds = timed(work)
                    if number:  # the first round warms up
                        figures[shape].setdefault(name, []).append(seconds / n * 1000)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    report(figures, sizes)


def check(state: object) -> None:
    assert state.is_successful(), state  # type: ignore[attr-defined]


def report(figures: dict[str, dict[str, list[float]]], sizes: dict[str, int]) -> None:
    print("milliseconds per task, median (smallest-largest), and how many times bare distributed")
    for shape, rows in figures.items():
        base = statistics.median(rows["distributed"])
        for name, values in rows.items():
            middle = statistics.median(values)
            spread = f"({min(values):.2f}-{max(values):.2f})"
            print(f"  {shape} of {sizes[shape]}, {name}: {middle:.2f} {spread}, {middle / base:.2f}x")


if __name__ == "__main__":
    main()
