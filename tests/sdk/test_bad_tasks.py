"""Tasks and schedulers that misbehave: the run ends, and says why."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from headwater import Flow, task
from headwater.core.errors import ClusterError
from headwater.executors import DaskExecutor
from headwater.run import run_flow

TWO = {"n_workers": 2, "threads_per_worker": 1}
EXECUTORS = {
    "lanes": lambda: DaskExecutor(cluster_kwargs=TWO),
    "batches": lambda: DaskExecutor(cluster_kwargs=TWO, adapt_kwargs={"minimum": 2, "maximum": 2}),
}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_tasks_that_hold_the_interpreter_leak_threads_or_are_large_end(executor: str) -> None:
    @task
    def hold(n: int) -> int:
        ctypes.PyDLL(None).sleep(2)  # unlike CDLL it keeps the interpreter lock
        return n

    @task
    def leak(n: int) -> int:
        threading.Thread(target=time.sleep, args=(300,)).start()
        return n

    @task
    def huge() -> bytes:
        return bytes(1 << 29)

    @task
    def length(of: bytes) -> int:
        return len(of)

    with Flow("bad") as flow:
        held = hold.map([1, 2, 3])
        leaked = leak.map([1, 2, 3])
        size = length(huge())
    results = flow.run(executor=EXECUTORS[executor]()).result
    assert [results[it].result for it in (held, leaked, size)] == [[1, 2, 3], [1, 2, 3], 1 << 29]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_scheduler_that_goes_away_in_the_middle_ends_the_run_in_words() -> None:
    @task
    def nap(n: int) -> int:
        time.sleep(0.05)
        return n

    def dask(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    scheduler = dask("distributed.cli.dask_scheduler", *options)
    worker = dask("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
    begun = threading.Event()

    def kill_soon(*_: Any) -> Any:
        if not begun.is_set():
            begun.set()
            threading.Timer(1.0, scheduler.kill).start()

    with Flow("left alone") as flow:
        nap.map(list(range(2000)))
    try:
        with pytest.raises(ClusterError, match="went away in the middle of the run"):
            run_flow(flow, {}, executor=DaskExecutor(address, client_kwargs={"timeout": "5s"}), observe=kill_soon)
    finally:
        scheduler.kill()
        worker.kill()
        scheduler.wait()
        worker.wait()


def test_no_scheduler_at_an_address_is_told() -> None:
    with Flow("nobody") as flow:
        task(lambda: 1, name="one")()
    with pytest.raises(ClusterError, match="No Dask scheduler answers"):
        flow.run(executor=DaskExecutor(f"tcp://127.0.0.1:{free_port()}", client_kwargs={"timeout": "1s"}))
