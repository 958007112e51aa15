"""Dagster with a persistent instance (sqlite) of our own.

in-process     job.execute_in_process(): one step after the other, values handed
               over in memory
multiprocess   execute_job() with multiprocess_executor, at most 4 steps at once,
               each step a new process, values handed over by pickle files
dask           execute_job() with dagster-dask's executor on a cluster started once,
               4 worker processes of one thread (Dagster is not thread-safe)
"""

import contextlib
import os
import sys
import tempfile
import time

from common import SLEEP, THREADS, WORKLOADS, main

HERE = os.path.dirname(os.path.abspath(__file__))
MARK = "BENCH_DAGSTER_MARK"  # the file in which the first task says when it began


def build(workload, n, executor):
    """The job of one workload; also called in the processes that run its steps."""
    import dagster as dg

    @dg.op
    def one() -> int:
        return 1

    @dg.op
    def inc(x: int) -> int:
        return x + 1

    @dg.op(out=dg.DynamicOut(int))
    def spread():
        for i in range(n):
            yield dg.DynamicOutput(i, mapping_key=str(i))

    @dg.op
    def add_up(xs: list[int]) -> int:
        return sum(xs)

    @dg.op
    def nap() -> int:
        time.sleep(SLEEP)
        return 1

    @dg.op
    def now():
        t = time.monotonic()
        with open(os.environ[MARK], "w") as f:
            f.write(repr(t))

    def chain():
        x = one()
        for i in range(n - 1):
            x = inc.alias(f"inc_{i}")(x)

    def fanout():
        add_up(spread().map(inc).collect())

    def wide10ms():
        for i in range(n):
            nap.alias(f"nap_{i}")()

    def firsttask():
        now()

    graph = dict(chain=chain, fanout=fanout, wide10ms=wide10ms, firsttask=firsttask)[workload]
    if executor == "multiprocess":
        how = dg.multiprocess_executor.configured({"max_concurrent": THREADS})
    elif executor == "in-process":
        how = dg.in_process_executor
    else:
        from dagster_dask import dask_executor

        how = dask_executor.configured({"cluster": {"existing": {"address": executor}}})
    return dg.job(name=f"{workload}_{n}", executor_def=how)(graph)


@contextlib.contextmanager
def home():
    with tempfile.TemporaryDirectory(prefix="bench-dagster-", ignore_cleanup_errors=True) as d:
        os.environ["DAGSTER_HOME"] = d
        os.environ[MARK] = os.path.join(d, "mark")
        with open(os.path.join(d, "dagster.yaml"), "w") as f:
            f.write("telemetry:\n  enabled: false\n")
        yield


@contextlib.contextmanager
def workloads(executor):
    import dagster as dg

    with dg.DagsterInstance.get() as instance:

        def of(workload):
            def go(n):
                t = time.monotonic()
                job = build(workload, n, executor)
                built = time.monotonic() - t
                if executor != "in-process":
                    job = dg.build_reconstructable_job(
                        "dagster_",
                        "build",
                        (workload, n, executor),
                        reconstructor_working_directory=HERE,
                    )
                t = time.monotonic()
                if executor == "in-process":
                    result = job.execute_in_process(instance=instance)
                    total = time.monotonic() - t
                    check(result, workload, n)
                else:
                    with dg.execute_job(job, instance=instance) as result:
                        total = time.monotonic() - t
                        check(result, workload, n)
                if workload == "firsttask":
                    with open(os.environ[MARK]) as f:
                        return float(f.read()) - t
                return total, {"build_ms_per_task": round(built * 1e3 / n, 4)}

            return go

        yield {w: of(w) for w in WORKLOADS}


def check(result, workload, n):
    assert result.success, "the run failed"
    if workload == "chain":
        assert result.output_for_node(f"inc_{n - 2}") == n
    if workload == "fanout":
        ran = {e.step_key for e in result.get_step_success_events()}
        assert "add_up" in ran, f"reported success, but ran only {sorted(ran)}"
        assert result.output_for_node("add_up") == n * (n + 1) // 2


@contextlib.contextmanager
def local(executor):
    with home(), workloads(executor) as w:
        yield w


@contextlib.contextmanager
def dask():
    from distributed import LocalCluster

    with (
        home(),
        LocalCluster(
            processes=True,
            n_workers=THREADS,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
        ) as c,
        workloads(c.scheduler_address) as w,
    ):
        w["wide10ms"](4 * THREADS)  # every worker has to load Dagster once
        yield w


if __name__ == "__main__":
    sys.path.insert(0, HERE)
    few = {"chain": 10, "fanout": 50, "wide10ms": 40}
    fewer = {"chain": 2, "fanout": 2, "wide10ms": 4}
    main(
        {
            "in-process": lambda: local("in-process"),
            "multiprocess": lambda: local("multiprocess"),
            "dask": dask,
        },
        sizes={"multiprocess": few},
        warm={"multiprocess": fewer},
    )
