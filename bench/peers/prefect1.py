"""Prefect 1: flow.run() with LocalExecutor and with DaskExecutor.

The cluster is started once and handed over by address, so a run pays for
connecting to it but not for starting it.  Building the Flow is not in the
total (the other build-then-run engine, Dagster, is treated alike); it is
reported as build_ms_per_task.
"""

import contextlib
import time

from common import SLEEP, local_cluster, main


def flows():
    from prefect import Flow, task

    @task
    def inc(x):
        return x + 1

    @task
    def add_up(xs):
        return sum(xs)

    @task
    def nap(i):
        time.sleep(SLEEP)
        return i

    @task
    def now():
        return time.monotonic()

    def chain(n):
        with Flow("chain") as f:
            x = 0
            for _ in range(n):
                x = inc(x)
        return f, x, lambda got: got == n

    def fanout(n):
        with Flow("fanout") as f:
            x = add_up(inc.map(list(range(n))))
        return f, x, lambda got: got == n * (n + 1) // 2

    def wide10ms(n):
        with Flow("wide") as f:
            x = nap.map(list(range(n)))
        return f, x, lambda got: len(got) == n

    def firsttask(_):
        with Flow("first") as f:
            x = now()
        return f, x, lambda got: True

    return dict(chain=chain, fanout=fanout, wide10ms=wide10ms, firsttask=firsttask)


def workloads(executor):
    def of(name, build):
        def go(n):
            t = time.monotonic()
            flow, last, ok = build(n)
            built = time.monotonic() - t
            ex = executor()
            t = time.monotonic()
            state = flow.run(executor=ex)
            total = time.monotonic() - t
            assert state.is_successful(), state
            got = state.result[last].result
            assert ok(got), got
            if name == "firsttask":
                return got - t
            return total, {"build_ms_per_task": round(built * 1e3 / n, 4)}

        return go

    return {name: of(name, build) for name, build in flows().items()}


@contextlib.contextmanager
def local():
    from prefect.executors import LocalExecutor

    yield workloads(LocalExecutor)


@contextlib.contextmanager
def dask(processes):
    from prefect.executors import DaskExecutor

    with local_cluster(processes) as c:
        yield workloads(lambda: DaskExecutor(address=c.scheduler_address))


if __name__ == "__main__":
    main({"local": local, "dask": lambda: dask(False), "dask-processes": lambda: dask(True)})
