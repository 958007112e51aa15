"""Prefect 3: a flow against an API server of our own, on loopback.

threadpool       the default task runner with its default settings (no bound on
                 threads); wide10ms sets max_workers=4, as that workload says
dask             prefect-dask's DaskTaskRunner on a cluster started once, 4 threads
                 in this process
dask-processes   the same with the worker in a process of its own
"""

import contextlib
import os
import sys
import tempfile
import time

from common import SLEEP, THREADS, free_port, local_cluster, main, server


@contextlib.contextmanager
def api():
    with tempfile.TemporaryDirectory(prefix="bench-prefect3-", ignore_cleanup_errors=True) as home:
        port = free_port()
        os.environ.update(
            PREFECT_HOME=home,
            PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            DO_NOT_TRACK="1",
        )
        exe = os.path.join(os.path.dirname(sys.executable), "prefect")
        argv = [exe, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
        with server(argv, dict(os.environ), f"http://127.0.0.1:{port}/api/health"):
            yield


def workloads(runner, bounded):
    from prefect import flow, task

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

    @flow(task_runner=runner())
    def chain_flow(n: int):
        x = 0
        for _ in range(n):
            x = inc.submit(x)
        return x.result()

    @flow(task_runner=runner())
    def fanout_flow(n: int):
        return add_up.submit(inc.map(list(range(n)))).result()

    @flow(task_runner=bounded())
    def wide_flow(n: int):
        return nap.map(list(range(n))).result()

    @flow(task_runner=runner())
    def first_flow():
        return now.submit().result()

    def timed(flow, n, ok):
        t = time.monotonic()
        got = flow(n)
        total = time.monotonic() - t
        assert ok(got), got
        return total

    def firsttask(_):
        t = time.monotonic()
        return first_flow() - t

    return dict(
        chain=lambda n: timed(chain_flow, n, lambda got: got == n),
        fanout=lambda n: timed(fanout_flow, n, lambda got: got == n * (n + 1) // 2),
        wide10ms=lambda n: timed(wide_flow, n, lambda got: len(got) == n),
        firsttask=firsttask,
    )


@contextlib.contextmanager
def threadpool():
    with api():
        from prefect.task_runners import ThreadPoolTaskRunner

        yield workloads(ThreadPoolTaskRunner, lambda: ThreadPoolTaskRunner(max_workers=THREADS))


@contextlib.contextmanager
def dask(processes):
    with api():
        from prefect_dask import DaskTaskRunner

        with local_cluster(processes) as c:

            def runner():
                return DaskTaskRunner(address=c.scheduler_address)

            yield workloads(runner, runner)


if __name__ == "__main__":
    main({"threadpool": threadpool, "dask": lambda: dask(False), "dask-processes": lambda: dask(True)})
