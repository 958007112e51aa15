"""What a task costs beside its work, and how much of two workers' time is work.

    python bench/overhead.py [--rounds 5] [--chain 100] [--fanout 1000] [--json FILE]

In each round, in turn, on this machine:

    distributed   bare, on a local cluster: the chain by submitting each step with the future of the one before, the
                  others by Client.map
    lanes         the same as a Headwater flow on DaskExecutor(), which brings its own scheduler
    foreign       the same on DaskExecutor(address) of the cluster of the bare run: task runs go as Dask tasks
    local         the same on LocalExecutor (the shapes without waiting)

    chain      each task takes the result of the one before
    unfused    the same, but each result has a second reader, so that no two tasks can share a batch
    fanout     independent tasks that do nothing, one worker thread
    sleep 10   100 tasks that sleep 10 ms on two workers; the figure is the share of the ideal time
    sleep 1    1,000 tasks that sleep 1 ms, likewise

Building a flow and starting a cluster are not timed. With lanes the time is that from the start of the first task run
to the end of the last, as its cluster starts and ends with the run; the results are with the engine by then. With the
others it is that of the whole call, results included.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from headwater import Flow, task
from headwater.engine.events import TaskEnded, TaskStarted
from headwater.executors import DaskExecutor, LocalExecutor
from headwater.run import run_flow


def inc(x: int) -> int:
    return x + 1


def nap(seconds: float) -> None:
    time.sleep(seconds)


increment = task(inc, name="increment")
napping = task(nap, name="nap")


def chain_flow(n: int) -> Flow:
    with Flow("chain") as flow:
        value = increment(0)
        for _ in range(n - 1):
            value = increment(value)
    return flow


def unfused_flow(n: int) -> Flow:
    with Flow("unfused") as flow:
        value = increment(0)
        for _ in range(n // 2 - 1):
            increment(value)
            value = increment(value)
        increment(value)
    return flow


def fanout_flow(n: int) -> Flow:
    with Flow("fanout") as flow:
        increment.map(list(range(n)))
    return flow


def sleep_flow(n: int, seconds: float) -> Flow:
    with Flow("sleep") as flow:
        napping.map([seconds] * n)
    return flow


def bare_chain(client: Client, n: int) -> None:
    value = client.submit(inc, 0, pure=False)
    for _ in range(n - 1):
        value = client.submit(inc, value, pure=False)
    assert value.result() == n


def bare_unfused(client: Client, n: int) -> None:
    value = client.submit(inc, 0, pure=False)
    others = []
    for _ in range(n // 2 - 1):
        others.append(client.submit(inc, value, pure=False))
        value = client.submit(inc, value, pure=False)
    client.gather([*others, client.submit(inc, value, pure=False)])


def bare_fanout(client: Client, n: int) -> None:
    assert len(client.gather(client.map(inc, range(n), pure=False))) == n


def bare_sleep(client: Client, n: int, seconds: float) -> None:
    client.gather(client.map(nap, [seconds] * n, pure=False))


class Shape:
    """One kind of work: as a flow, bare, on so many workers, and what it takes when nothing costs anything."""

    def __init__(self, n: int, flow: Flow, bare: Callable[[Client], None], workers: int = 1, ideal: float = 0.0):
        self.n, self.flow, self.bare, self.workers, self.ideal = n, flow, bare, workers, ideal


def shapes(chain: int, fanout: int) -> dict[str, Shape]:
    return {
        "chain": Shape(chain, chain_flow(chain), lambda client: bare_chain(client, chain)),
        "unfused": Shape(chain, unfused_flow(chain), lambda client: bare_unfused(client, chain)),
        "fanout": Shape(fanout, fanout_flow(fanout), lambda client: bare_fanout(client, fanout)),
        "sleep 10": Shape(100, sleep_flow(100, 0.01), lambda client: bare_sleep(client, 100, 0.01), 2, 0.5),
        "sleep 1": Shape(1000, sleep_flow(1000, 0.001), lambda client: bare_sleep(client, 1000, 0.001), 2, 0.5),
    }


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_lanes(flow: Flow, workers: int) -> float:
    """Return the seconds from the start of the first task run to the end of the last."""
    started: list[float] = []
    ended = [0.0]

    def observe(run: Any, event: Any) -> None:
        if isinstance(event, TaskStarted) and not started:
            started.append(event.at)
        elif isinstance(event, TaskEnded):
            if event.started_at is not None and not started:
                started.append(event.started_at)
            ended[0] = time.time()

    executor = DaskExecutor(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1})
    check(run_flow(flow, {}, executor=executor, observe=observe))
    return ended[0] - started[0]


def check(state: Any) -> None:
    assert state.is_successful(), state


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chain", type=int, default=100)
    parser.add_argument("--fanout", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.getLogger("headwater").addHandler(logging.NullHandler())
    wanted = shapes(options.chain, options.fanout)
    figures: dict[str, dict[str, list[float]]] = {shape: {} for shape in wanted}
    for number in range(options.rounds + 1):
        for workers in sorted({shape.workers for shape in wanted.values()}):
            mine = {name: shape for name, shape in wanted.items() if shape.workers == workers}
            for name, row, seconds in one_round(mine, workers):
                if number:  # the first round warms up
                    figures[name].setdefault(row, []).append(seconds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    report(figures, wanted)


def one_round(wanted: dict[str, Shape], workers: int) -> list[tuple[str, str, float]]:
    found = []
    settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**settings, silence_logs=logging.ERROR) as cluster, Client(cluster) as client:
        bare_fanout(client, 20)  # so that nothing is imported for the first time while it is timed
        check(chain_flow(2).run(executor=DaskExecutor(cluster.scheduler_address)))
        for name, shape in wanted.items():
            found.append((name, "distributed", timed(lambda shape=shape: shape.bare(client))))
            executor = DaskExecutor(cluster.scheduler_address)
            found.append((name, "foreign", timed(lambda s=shape, e=executor: check(s.flow.run(executor=e)))))
            if not shape.ideal:
                local = LocalExecutor()
                found.append((name, "local", timed(lambda s=shape, e=local: check(s.flow.run(executor=e)))))
    return found + [(name, "lanes", in_lanes(shape.flow, workers)) for name, shape in wanted.items()]


def report(figures: dict[str, dict[str, list[float]]], wanted: dict[str, Shape]) -> None:
    print("median (smallest-largest), and how many times bare distributed")
    for name, rows in figures.items():
        shape = wanted[name]
        base = statistics.median(rows["distributed"])
        for row in ("distributed", "lanes", "foreign", "local"):
            if row not in rows:
                continue
            middle, low, high = statistics.median(rows[row]), min(rows[row]), max(rows[row])
            if shape.ideal:
                words = f"{shape.ideal / middle:.0%} of the ideal ({shape.ideal / high:.0%}-{shape.ideal / low:.0%})"
            else:
                each = 1000 / shape.n
                words = f"{middle * each:.3f} ms per task ({low * each:.3f}-{high * each:.3f})"
            print(f"  {name} of {shape.n}, {row}: {words}, {middle / base:.3f}x")


if __name__ == "__main__":
    main()
