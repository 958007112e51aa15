"""What goes wrong where tasks run: killed processes, what cannot be pickled, what takes too long."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, Parameter, context, task
from headwater.core.errors import FlowError, TaskCrashedError, TaskError
from headwater.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from headwater.states import Crashed, Failed, Success, TimedOut
from headwater.triggers import all_finished

PROCESSES = LocalDaskExecutor("processes", num_workers=2)
THREADS = LocalDaskExecutor("threads", num_workers=2)


@task
def kill_yourself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(max_retries=1, retry_delay=timedelta(0))
def die_once() -> int:
    if context.task_run_count == 1:
        os._exit(7)
    return context.task_run_count


@task
def same(x: Any) -> Any:
    return x


@task(trigger=all_finished)
def whatever(x: Any) -> str:
    return f"{type(x).__name__}: {x}"


def test_a_task_that_kills_its_process_is_crashed_and_alone() -> None:
    with Flow("f") as flow:
        killed, died, other = kill_yourself(), die_once(), same(3)
        told = whatever(killed)
    state = flow.run(executor=PROCESSES)
    assert isinstance(state.result[killed], Crashed)
    assert state.result[killed].message == "the process that ran it was killed by SIGKILL"
    assert isinstance(state.result[killed].result, TaskCrashedError)
    assert state.result[told].result == "TaskCrashedError: the process that ran it was killed by SIGKILL"
    assert state.result[died].result == 2
    assert state.result[other].result == 3


@pytest.mark.parametrize("executor", [PROCESSES, DaskExecutor()], ids=["processes", "dask"])
def test_a_constant_that_cannot_travel_is_named_before_anything_runs(executor: Any) -> None:
    with Flow("f") as flow:
        same(threading.Lock())
    with pytest.raises(FlowError, match='argument "x" of task "same", a lock, cannot be pickled'):
        flow.run(executor=executor)


def test_what_cannot_be_pickled_stays_possible_in_one_process() -> None:
    with Flow("f") as flow:
        found = same(threading.Lock())
    for executor in (LocalExecutor(), THREADS):
        assert flow.run(executor=executor).result[found].is_successful()


def test_a_result_that_cannot_travel_fails_its_task_and_says_so() -> None:
    @task
    def lock() -> Any:
        return threading.Lock()

    with Flow("f") as flow:
        made = lock()
    failed = flow.run(executor=PROCESSES).result[made]
    assert isinstance(failed, Failed)
    assert "the result, a lock, cannot be pickled and so cannot travel" in str(failed.message)


def test_an_exception_that_cannot_be_unpickled_arrives_as_text() -> None:
    class Stubborn(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__("cannot be made again")

    @task
    def fail() -> None:
        raise Stubborn(1, 2)

    with Flow("f") as flow:
        failed = fail()
    state = flow.run(executor=PROCESSES).result[failed]
    assert isinstance(state.result, TaskError)
    assert str(state.result) == "Stubborn: cannot be made again"
    assert state.message == "Stubborn: cannot be made again"
    assert "raise Stubborn(1, 2)" in state.result.traceback


@task(timeout=0.4)
def sleep_on(folder: str) -> None:
    child = subprocess.Popen(["sleep", "60"])
    Path(folder, "pids").write_text(f"{os.getpid()} {child.pid}")
    while True:
        try:
            time.sleep(60)
        except Exception:
            continue


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_what_takes_too_long_is_gone_with_all_that_it_started(tmp_path: Path) -> None:
    with Flow("f") as flow:
        late = sleep_on(str(tmp_path))
        other = same(1)
    state = flow.run(executor=THREADS)
    assert isinstance(state.result[late], TimedOut)
    assert state.result[late].message == "It took longer than its timeout, 0.4 s."
    assert state.result[other].is_successful()
    assert [pid for pid in map(int, (tmp_path / "pids").read_text().split()) if alive(pid)] == []


def test_a_task_that_handles_exceptions_is_stopped_in_the_main_thread_too() -> None:
    @task(timeout=0.2, max_retries=1, retry_delay=timedelta(0))
    def swallow() -> int:
        if context.task_run_count == 2:
            return 1
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            try:
                time.sleep(60)
            except TimeoutError:
                continue
        return 0

    with Flow("f") as flow:
        done = swallow()
    assert flow.run().result[done].is_finished()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0), "no alarm is left behind"


def test_a_timeout_in_a_thread_says_what_cannot_travel() -> None:
    @task(timeout=5)
    def take(lock: Any) -> None: ...

    with Flow("f") as flow:
        failed = take(same(threading.Lock()))
    state = flow.run(executor=THREADS).result[failed]
    assert isinstance(state, Failed)
    assert 'task "take" has a timeout and runs in a process of its own' in str(state.message)


def test_a_failure_in_a_timed_task_is_the_same_exception() -> None:
    @task(timeout=20)
    def fail() -> None:
        raise KeyError("missing")

    with Flow("f") as flow:
        failed = fail()
    state = flow.run(executor=THREADS).result[failed]
    assert isinstance(state.result, KeyError)
    assert state.message == "KeyError: 'missing'"


def test_tasks_of_threads_run_side_by_side() -> None:
    barrier = threading.Barrier(2, timeout=20)

    @task
    def meet() -> bool:
        return barrier.wait() >= 0

    with Flow("f") as flow:
        meet()
        meet()
    assert isinstance(flow.run(executor=THREADS), Success)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("distributed",), 'no scheduler "distributed"; choose one of'), (("threads", 0), "num_workers is 0")],
)
def test_a_wrong_executor_says_what_to_choose(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LocalDaskExecutor(*arguments)


def test_a_paused_task_fails_when_there_is_nobody_to_ask() -> None:
    from headwater.signals import PAUSE

    @task
    def wait_for_approval() -> None:
        if not context.resume:
            raise PAUSE("Is the price right?")

    with Flow("f") as flow:
        paused = wait_for_approval()
    state = flow.run().result[paused]
    assert isinstance(state, Failed)
    assert "there is nobody to ask here" in str(state.message)


def test_a_wide_map_and_a_long_chain_run() -> None:
    with Flow("f") as flow:
        n = Parameter("n", default=1)
        x = same(n)
        for _ in range(2000):
            x = same(x)
        wide = same.map(list(range(20_000)))
    state = flow.run()
    assert state.result[x].result == 1
    assert state.result[wide].result == list(range(20_000))


# Dask


def test_a_task_runs_where_its_resource_is() -> None:
    from distributed import get_worker

    @task(tags=["dask-resource:GPU=1"])
    def where() -> Any:
        return dict(get_worker().state.available_resources)

    with Flow("f") as flow:
        found = where()
    state = flow.run(executor=DaskExecutor(cluster_kwargs={"n_workers": 1, "resources": {"GPU": 2}}))
    assert state.result[found].result == {"GPU": 1.0}, "one of two is taken while it runs"


def test_a_cluster_of_any_class_is_made_adapted_and_closed() -> None:
    made: list[Any] = []

    def cluster_class(**options: Any) -> Any:
        from distributed import LocalCluster

        made.append(LocalCluster(dashboard_address="127.0.0.1:0", silence_logs=40, **options))
        return made[-1]

    with Flow("f") as flow:
        found = same.map([1, 2, 3])
    executor = DaskExecutor(
        cluster_class=cluster_class,
        cluster_kwargs={"n_workers": 0, "processes": False},
        adapt_kwargs={"minimum": 1, "maximum": 2},
    )
    assert flow.run(executor=executor).result[found].result == [1, 2, 3]
    assert made[0].status.name == "closed"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "tcp://x:1", "cluster_kwargs": {}}, "not both"),
        ({"cluster_class": "dask_nowhere.Cluster"}, 'there is no cluster_class "dask_nowhere.Cluster"'),
        ({"performance_report_path": "report.html"}, "pip install bokeh"),
        ({"cluster_class": "Cluster"}, 'there is no cluster_class "Cluster"'),
    ],
)
def test_a_wrong_dask_executor_says_what_to_give(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DaskExecutor(**options)


def test_a_resource_tag_that_cannot_be_read_is_refused_before_anything_runs() -> None:
    with Flow("f") as flow:
        same(1, task_args={"tags": {"dask-resource:GPU"}})
    with pytest.raises(FlowError, match="write the resource with a number, as in dask-resource:GPU=1"):
        flow.run()
