"""Lanes: batches, fusing, sizes, and what becomes of task runs whose worker is killed."""

from __future__ import annotations

import collections
import gc
import itertools
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dask.sizeof import sizeof
from distributed import Client, LocalCluster, get_client, worker_client
from distributed.protocol import deserialize, serialize, to_serialize
from hypothesis import given
from hypothesis import strategies as st

from headwater import Flow, flatten, task, unmapped
from headwater.core.states import State
from headwater.engine.events import SubmitTask
from headwater.engine.plan import make_plan
from headwater.executors import DaskExecutor
from headwater.executors.boxed import boxed, unboxed
from headwater.executors.lanes.batch import Began, Ended, Name
from headwater.executors.lanes.book import Book
from headwater.executors.lanes.fuse import followers
from headwater.executors.lanes.ready import Ready
from headwater.executors.lanes.sizes import GROWTH, Durations
from headwater.run import run_flow
from headwater.states import Crashed
from headwater.triggers import all_finished


@task
def one() -> int:
    return 1


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


def lanes(workers: int = 2, threads: int = 1, **options: Any) -> DaskExecutor:
    return DaskExecutor(cluster_kwargs={"n_workers": workers, "threads_per_worker": threads, **options})


def batches(workers: int = 2, threads: int = 1, **options: Any) -> DaskExecutor:
    """Batches as Dask tasks, as the cluster adapts by itself; it has always the same workers here."""
    kwargs = {"n_workers": workers, "threads_per_worker": threads, **options}
    return DaskExecutor(cluster_kwargs=kwargs, adapt_kwargs={"minimum": workers, "maximum": workers})


both_ways = pytest.mark.parametrize("executor", [lanes, batches])


# Sizes


def batch_size(seen: Durations, names: Iterable[str], left: int, threads: int) -> int:
    budget = seen.budget(left, threads)
    return sum(1 for _ in itertools.takewhile(budget.admits, names))


def test_a_batch_grows_with_what_was_seen_and_shares_the_end() -> None:
    seen = Durations()
    assert batch_size(seen, ["a"] * 100, 100, 2) == 1, "nobody knows how long they take"
    seen.saw("a", 0.0001)
    sizes = []
    left = 1000
    while left:
        size = batch_size(seen, ["a"] * left, left, 2)
        seen.sent("a", size)
        sizes.append(size)
        left -= size
    assert sizes[:3] == [GROWTH, GROWTH**2, GROWTH**3]
    assert sizes[-1] == 1
    assert max(sizes) <= 250


def test_a_batch_takes_no_longer_than_its_time_and_no_unknown_task() -> None:
    seen = Durations({"slow": 0.02, "long": 3.0}, {"slow": 100, "long": 100})
    assert batch_size(seen, ["slow"] * 1000, 1000, 2) == 2
    assert batch_size(seen, ["long"] * 1000, 1000, 2) == 1
    assert batch_size(seen, ["slow", "new", "slow"], 1000, 2) == 1


@given(st.lists(st.sampled_from("abc"), min_size=1), st.integers(1, 64), st.integers(0, 10**6))
def test_a_batch_is_never_empty_nor_larger_than_what_is_there(names: list[str], threads: int, more: int) -> None:
    seen = Durations({"a": 1e-6, "b": 0.01}, {"a": 1000, "b": 3})
    assert 1 <= batch_size(seen, names, len(names) + more, threads) <= len(names)


def test_those_that_come_with_another_count_as_well() -> None:
    seen = Durations({"quick": 1e-6, "slow": 0.02}, {"quick": 100})
    budget = seen.budget(1000, 2)
    taken = 0
    while budget.admits("quick"):
        budget.add("slow")
        taken += 1
    assert taken == 3


# What is ready


def test_what_is_deepest_comes_first() -> None:
    with Flow("deep") as flow:
        first = add.map([1, 2, 3], task_args={"name": "first"})
        add.map(first, task_args={"name": "second"})
    plan = make_plan(flow)
    place = {each.name: i for i, each in enumerate(plan.tasks)}
    ready = Ready(plan)
    for name, index in (("first", 0), ("first", 1), ("second", 0), ("first", 2), ("second", 1)):
        ready.put(SubmitTask(place[name], 1, {}, index))
    assert len(ready) == 5
    found = [(plan.tasks[each.task].name, each.map_index) for each in (ready.take() for _ in range(5))]
    assert found == [("second", 0), ("second", 1), ("first", 0), ("first", 1), ("first", 2)]
    assert not ready


# Fusing


def fused(flow: Flow) -> dict[str, str | None]:
    plan = make_plan(flow)
    found = followers(plan)
    return {task.name: None if j is None else plan.tasks[j].name for task, j in zip(plan.tasks, found, strict=True)}


def test_what_waits_for_one_task_alone_follows_it() -> None:
    def named(name: str, *args: Any, **options: Any) -> Any:
        return add(*args, task_args={"name": name, **options})

    with Flow("chain") as flow:
        a = named("a", 1)
        b = named("b", a)
        c = named("c", b, trigger=all_finished)
        d = named("d", c, tags={"dask-resource:GPU=1"})
        named("e", d)
        mapped = add.map([1, 2], task_args={"name": "mapped"})
        again = add.map(mapped, task_args={"name": "again"})
        add.map(flatten([again]), task_args={"name": "flat"})
    found = fused(flow)
    assert {name: found[name] for name in ("a", "b", "c", "mapped", "again")} == {
        "a": "b",
        "b": None,
        "c": None,
        "mapped": "again",
        "again": None,
    }


# The book


def ended(name: Name) -> Ended:
    return Ended(name, 0.0, 0.0, None, None, b"", None, 0, None, None)


A, B, C = (0, -1, 1), (1, -1, 1), (2, -1, 1)


def command(name: Name) -> SubmitTask:
    return SubmitTask(name[0], name[2], {}, name[1])


def test_records_of_those_ahead_wait_for_the_engine() -> None:
    book = Book()
    book.send(A, command(A), "w0")
    book.send(B, None, "w0")
    assert [told.record for told in book.take(ended(A))] == [ended(A)]
    assert book.take(Began(B, 0.0, None)) == book.take(ended(B)) == []
    told = book.submit(B, command(B))
    assert told is not None
    assert [type(each.record) for each in told] == [Began, Ended]
    assert not book.sent


@pytest.mark.parametrize("certain", [True, False])
def test_after_a_loss_only_what_was_surely_not_begun_is_run_elsewhere(certain: bool) -> None:
    book = Book()
    for name in (A, B, C):
        book.send(name, command(name), "w0")
    book.take(Began(A, 0.0, None))
    book.take(ended(A))
    book.take(Began(B, 0.0, None))
    judged = book.judge("w0", certain)
    assert judged.crashed == ([command(B)] if certain else [command(B), command(C)])
    assert judged.again == ([command(C)] if certain else [])


def test_what_was_begun_ahead_on_a_lost_worker_is_not_run_again_unseen() -> None:
    book = Book()
    book.send(A, command(A), "w0")
    book.send(B, None, "w0")
    book.send(C, None, "w0")
    book.take(ended(A))
    book.take(Began(B, 0.0, None))
    book.judge("w0", certain=True)
    assert book.submit(B, command(B)) is None
    assert not book.knows(C)


def test_what_was_called_back_from_a_worker_is_not_lost_with_it() -> None:
    book = Book()
    for name in (A, B):
        book.send(name, command(name), "w0")
    assert book.put_back([B]) == [command(B)]
    book.send(B, command(B), "w1")
    judged = book.judge("w0", certain=True)
    assert (judged.crashed, judged.again) == ([], [command(A)])
    assert book.sent == {B: command(B)}


# On real workers


@both_ways
def test_a_chain_and_a_map_come_to_their_values(executor: Any) -> None:
    with Flow("both") as flow:
        value = one()
        for _ in range(600):
            value = add(value)
        wide = add.map(add.map(list(range(2000))), y=unmapped(10))
        total = add(wide, [])
    state = flow.run(executor=executor())
    assert state.result[value].result == 601
    assert state.result[total].result == [n + 11 for n in range(2000)]


@both_ways
def test_large_results_go_from_worker_to_worker(executor: Any) -> None:
    @task
    def big(n: int) -> bytes:
        return bytes([n]) * 3_000_000

    @task
    def size(*, parts: list[bytes]) -> int:
        return sum(map(len, parts))

    @task
    def first(part: bytes) -> int:
        return part[0]

    with Flow("big") as flow:
        made = big.map([1, 2, 3, 4])
        firsts = first.map(made)
        total = size(parts=made)
    state = flow.run(executor=executor())
    assert state.result[total].result == 12_000_000
    assert state.result[firsts].result == [1, 2, 3, 4]
    assert [len(part) for part in state.result[made].result] == [3_000_000] * 4


def test_a_task_may_use_dask_itself() -> None:
    @task
    def with_dask(n: int) -> int:
        with worker_client() as client:
            inner = client.submit(sum, [n, 1]).result()
        return int(inner + get_client().submit(sum, [n, 1], pure=False).result())

    with Flow("dask") as flow:
        sums = with_dask.map([1, 2, 3, 4])
    assert flow.run(executor=lanes(workers=1)).result[sums].result == [4, 6, 8, 10]


def test_a_task_in_a_batch_may_use_dask_itself() -> None:
    @task
    def with_dask(n: int) -> int:
        with worker_client() as client:
            return int(client.submit(sum, [n, 1]).result())

    with Flow("dask") as flow:
        sums = with_dask.map([1, 2, 3, 4])
    assert flow.run(executor=batches(workers=1)).result[sums].result == [2, 3, 4, 5]


@pytest.mark.parametrize("value", [list(range(1000)), {"a": [1]}, (1, 2), {1}, b"bytes", 7])
def test_a_result_travels_in_one_piece(value: Any) -> None:
    header, frames = serialize(to_serialize(boxed(value)))
    assert len(frames) == 1
    assert unboxed(deserialize(header, frames)) == value
    assert sizeof(boxed(value)) >= sizeof(value)


@both_ways
def test_what_follows_one_that_is_run_again_comes_after_it(executor: Any, tmp_path: Path) -> None:
    @task(max_retries=1, retry_delay=timedelta(seconds=0.3))
    def shaky(n: int) -> int:
        once = tmp_path / str(n)
        if n == 2 and not once.exists():
            once.touch()
            raise OSError("not yet")
        return n

    with Flow("shaky") as flow:
        values = add.map(shaky.map([1, 2, 3]))
    assert flow.run(executor=executor()).result[values].result == [2, 3, 4]


@both_ways
def test_what_breaks_in_the_engine_ends_the_run(executor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no batch today")

    monkeypatch.setattr("headwater.executors.lanes.making.Making.batch", broken)
    with Flow("broken") as flow:
        one()
    with pytest.raises(RuntimeError, match="no batch today"):
        flow.run(executor=executor(1, processes=False))


def test_what_waits_behind_a_long_task_run_is_given_to_an_idle_thread() -> None:
    @task
    def nap(n: int) -> tuple[int, float]:
        time.sleep(2.0 if n == 40 else 0.001)
        return os.getpid(), time.time()

    with Flow("naps") as flow:
        naps = nap.map(list(range(50)))
    state = flow.run(executor=lanes())
    results = state.result[naps].result
    long_one = results[40]
    assert max(at for pid, at in results if (pid, at) != long_one) < long_one[1] - 1.0


@both_ways
def test_what_cannot_travel_fails_alone(executor: Any) -> None:
    @task
    def lock(n: int) -> Any:
        return threading.Lock() if n == 3 else n

    class Bomb:
        def __reduce__(self) -> Any:
            return int, ("this is no number",)

    @task
    def bomb(n: int) -> Any:
        return Bomb() if n == 2 else n

    with Flow("travel") as flow:
        locks = lock.map([1, 2, 3, 4])
        bombs = bomb.map([1, 2, 3])
        read = add.map(bombs, y=unmapped(0), task_args={"name": "read"})
    states = flow.run(executor=executor()).result
    assert states[locks].is_mapped(), states
    assert [state.name for state in states[locks].map_states] == ["Success", "Success", "Failed", "Success"]
    assert "cannot be pickled and so cannot travel" in states[locks].map_states[2].message
    assert [state.name for state in states[read].map_states] == ["Success", "Failed", "Success"]


def test_a_foreign_scheduler_gets_batches_as_dask_tasks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="headwater")
    with Flow("foreign") as flow:
        value = add(one())
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster):
        state = flow.run(executor=DaskExecutor(cluster.scheduler_address))
    assert state.result[value].result == 2
    assert "Task runs go in batches as Dask tasks" in caplog.text
    caplog.clear()
    flow.run(executor=lanes(1))
    assert "Task runs go in lanes" in caplog.text


def test_a_distributed_without_what_lanes_need_is_used_without_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("headwater.executors.lanes.choice.missing_parts", lambda scheduler: ["Scheduler.update_data"])
    with Flow("older") as flow:
        value = add(one())
    assert flow.run(executor=lanes(1)).result[value].result == 2
    assert "this version of distributed has no Scheduler.update_data" in caplog.text


def test_workers_whose_lanes_cannot_be_opened_get_dask_tasks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def closed(*_: Any) -> int:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr("headwater.executors.lanes.own.open_lanes", closed)
    with Flow("closed") as flow:
        value = add.map(add.map([1, 2]))
    assert flow.run(executor=lanes(1, processes=False)).result[value].result == [3, 4]
    assert "no worker has lanes" in caplog.text


# Killed workers


def executions(log: Path) -> dict[int, int]:
    return collections.Counter(int(line) for line in log.read_text().split())


class Killer:
    """Kills workers of a run at random, while it goes on."""

    def __init__(self, kills: int, seed: int) -> None:
        self._left = kills
        self._random = random.Random(seed)
        self._next = 40
        self._ended = 0
        self._pids: set[int] = set()

    def __call__(self, run: Any, event: Any) -> None:
        self._ended += type(event).__name__ == "TaskEnded"
        if self._left and self._ended >= self._next:
            pids = list(worker_processes())
            if pids:
                os.kill(self._random.choice(pids), signal.SIGKILL)
                self._left -= 1
                self._next = self._ended + self._random.randrange(20, 120)


def worker_processes() -> Iterable[int]:
    import psutil

    for child in psutil.Process().children(recursive=True):
        if "spawn_main" in " ".join(child.cmdline()):
            yield child.pid


@both_ways
@pytest.mark.parametrize("seed", [1, 2])
def test_no_task_run_is_lost_or_runs_twice_when_workers_are_killed(tmp_path: Path, seed: int, executor: Any) -> None:
    once, again = tmp_path / "once", tmp_path / "again"

    @task
    def note(n: int) -> int:
        with once.open("a") as file:
            file.write(f"{n}\n")
        time.sleep(0.002)
        return n

    @task(max_retries=5, retry_delay=timedelta(0))
    def note_again(n: int) -> int:
        with again.open("a") as file:
            file.write(f"{n}\n")
        time.sleep(0.002)
        return n

    with Flow("killed") as flow:
        first = note.map(list(range(400)))
        second = note_again.map(list(range(1000, 1400)))
    state = run_flow(flow, {}, executor=executor(), observe=Killer(4, seed))
    states: list[State] = state.result[first].map_states
    counts = executions(once)
    assert set(counts.values()) == {1}, "none ran twice"
    for n, child in enumerate(states):
        # One that was killed between its record and its first line is Crashed, too. In a Dask task all of its batch is.
        assert counts[n] == 1 if child.is_successful() else isinstance(child, Crashed)
    crashed = [child for child in states if isinstance(child, Crashed)]
    if executor is lanes:
        assert len(crashed) <= 8, "at most what each of the killed threads had begun"
    assert all("went away" in message(child) for child in crashed)
    assert all(child.is_successful() for child in state.result[second].map_states)
    assert set(executions(again)) == set(range(1000, 1400))


def message(state: State) -> str:
    return state.message or ""


def test_what_fails_when_the_cluster_is_closed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Scheduler

    close = Scheduler.close

    async def fail(self: Any, *arguments: Any, **options: Any) -> None:
        await close(self, *arguments, **options)
        raise RuntimeError("Cannot change state of expiring Timeout")

    monkeypatch.setattr(Scheduler, "close", fail)
    with Flow("closing") as flow:
        value = add(one())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Dask's own, of the cluster that could not be closed
        assert flow.run(executor=lanes(1)).result[value].result == 2
        gc.collect()
