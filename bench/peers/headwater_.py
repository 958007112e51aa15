"""Headwater: flow.run() with LocalExecutor, and with DaskExecutor on a cluster that is there or of its own.

"local" and "dask" are timed as Prefect 1 is: a whole flow.run(), to a cluster that was started before, the building of
the flow left out. "lanes" is what DaskExecutor() does without an address: its cluster starts and ends with the run, so
that the figure is the time from the start of the first task run to the end of the last, and for firsttask the whole of
the start. What flow.run() took in all is in the JSON line as whole_s.
"""

import contextlib
import logging
import time

from common import SLEEP, THREADS, local_cluster, main


def flows():
    from headwater import Flow, task

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
        with Flow("chain") as flow:
            x = 0
            for _ in range(n):
                x = inc(x)
        return flow, x, lambda got: got == n

    def fanout(n):
        with Flow("fanout") as flow:
            x = add_up(inc.map(list(range(n))))
        return flow, x, lambda got: got == n * (n + 1) // 2

    def wide10ms(n):
        with Flow("wide") as flow:
            x = nap.map(list(range(n)))
        return flow, x, lambda got: len(got) == n

    def firsttask(_):
        with Flow("first") as flow:
            x = now()
        return flow, x, lambda got: True

    return {"chain": chain, "fanout": fanout, "wide10ms": wide10ms, "firsttask": firsttask}


class Span:
    """From the start of the first task run to the end of the last, by the clock of this machine."""

    def __init__(self):
        self.first = self.last = None

    def __call__(self, run, event):
        started = getattr(event, "started_at", None) or (event.at if type(event).__name__ == "TaskStarted" else None)
        if started is not None and self.first is None:
            self.first = started
        self.last = time.time()


def workloads(executor, whole=True):
    from headwater.run import run_flow

    # Its lines go to the log, as those of the others do.
    logging.basicConfig(level=logging.INFO)

    def of(name, build):
        def go(n):
            flow, last, ok = build(n)
            span, chosen = Span(), executor()
            began = time.monotonic()
            state = run_flow(flow, {}, executor=chosen, observe=None if whole else span)
            total = time.monotonic() - began
            assert state.is_successful(), state
            got = state.result[last].result
            assert ok(got), got
            if name == "firsttask":
                return got - began
            return (total, {}) if whole else (span.last - span.first, {"whole_s": round(total, 3)})

        return go

    return {name: of(name, build) for name, build in flows().items()}


@contextlib.contextmanager
def local():
    from headwater.executors import LocalExecutor

    yield workloads(LocalExecutor)


@contextlib.contextmanager
def dask(processes):
    from headwater.executors import DaskExecutor

    with local_cluster(processes) as cluster:
        yield workloads(lambda: DaskExecutor(address=cluster.scheduler_address))


@contextlib.contextmanager
def lanes(processes):
    from headwater.executors import DaskExecutor

    options = {
        "processes": processes,
        "n_workers": 1,
        "threads_per_worker": THREADS,
        "dashboard_address": "127.0.0.1:0",
        "worker_dashboard_address": "127.0.0.1:0",
    }
    yield workloads(lambda: DaskExecutor(cluster_kwargs=options), whole=False)


if __name__ == "__main__":
    main(
        {
            "local": local,
            "dask": lambda: dask(False),
            "dask-processes": lambda: dask(True),
            "lanes": lambda: lanes(False),
            "lanes-processes": lambda: lanes(True),
        }
    )
