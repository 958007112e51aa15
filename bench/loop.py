"""How long the event loop that is scheduler, client and engine is kept from its other work, and the memory of a run.

    python bench/loop.py [--shape mapped] [--n 100000]      one shape; without it all, each in its own process

    mapped     n mapped task runs that do nothing
    twice      n mapped over the n before
    reduced    n mapped, and one task that reads all of their results
    chain      n in a chain
    static     n tasks of their own: half of them, and one behind each

A tick comes every 2 ms in that loop, and the longest delay of one is told, in milliseconds, with the CPU time that the
loop's thread used meanwhile: what is above that, other processes took. Memory is the most that the engine's process
held; its results are kept, as `flow.run()` returns them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import subprocess
import sys
import time
from typing import Any

from headwater import Flow, task
from headwater.executors import DaskExecutor
from headwater.run import run_flow

TICK_SECONDS = 0.002
SHAPES = {"mapped": 100_000, "twice": 50_000, "reduced": 100_000, "chain": 5_000, "static": 10_000}


@task
def increment(x: int) -> int:
    return x + 1


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


def flow_of(shape: str, n: int) -> Flow:
    with Flow(shape) as flow:
        if shape == "mapped":
            increment.map(list(range(n)))
        elif shape == "twice":
            increment.map(increment.map(list(range(n))))
        elif shape == "reduced":
            total(increment.map(list(range(n))))
        elif shape == "chain":
            value = increment(0)
            for _ in range(n - 1):
                value = increment(value)
        else:
            for first in [increment(i) for i in range(n // 2)]:
                increment(first)
    return flow


class Ticker:
    """Ticks in the loop in which the run's events are observed."""

    def __init__(self) -> None:
        self.delays: list[tuple[float, float]] = []
        self.began = self.ended = 0.0
        self._last: tuple[float, float] | None = None

    def observe(self, run: Any, event: Any) -> None:
        if not self.began:
            self.began = time.perf_counter()
            self._tick()
        elif run.finished_at is not None:
            self.ended = time.perf_counter()

    def _tick(self) -> None:
        if self.ended:
            return
        now = time.perf_counter(), time.thread_time()
        if self._last is not None:
            self.delays.append((now[0] - self._last[0] - TICK_SECONDS, now[1] - self._last[1]))
        self._last = now
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)


def measure(shape: str, n: int) -> dict[str, Any]:
    logging.getLogger("headwater").addHandler(logging.NullHandler())
    ticker = Ticker()
    executor = DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1})
    state = run_flow(flow_of(shape, n), {}, executor=executor, observe=ticker.observe)
    assert state.is_successful(), state
    delay, cpu = max(ticker.delays)
    return {
        "shape": shape,
        "n": n,
        "seconds": round(ticker.ended - ticker.began, 2),
        "longest delay, ms": round(delay * 1000),
        "of it CPU, ms": round(cpu * 1000),
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--n", type=int)
    options = parser.parse_args()
    if options.shape:
        print(json.dumps(measure(options.shape, options.n or SHAPES[options.shape])))
        return
    for shape in SHAPES:
        subprocess.run([sys.executable, __file__, "--shape", shape], check=True)


if __name__ == "__main__":
    main()
