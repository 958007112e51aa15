"""A run that is cancelled, and tasks whose end somebody else decides: on threads, in lanes and on a foreign scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from headwater import Flow, resource_manager, task, unmapped
from headwater.core.signals import PAUSE
from headwater.core.states import Cancelled, Failed, Skipped, Success
from headwater.engine.drive import Drive, run_async
from headwater.engine.events import Event, PauseAnswered, TaskEnded, TaskMarked, TaskStarted
from headwater.engine.machine import Run
from headwater.engine.plan import make_plan
from headwater.executors import DaskExecutor
from headwater.executors.local import ThreadSession
from headwater.executors.program import FlowProgram, RunInfo
from headwater.triggers import always_run, manual_only

Act = Callable[[Drive, Event], None]


class Threads:
    """What a FlowRun with InProcess does."""

    def execute(self, flow: Flow, drive: Drive, info: RunInfo) -> None:
        async def run() -> None:
            session = ThreadSession(FlowProgram.of(flow), info, drive, 2)
            await run_async(drive, info.begin(), session)
            session.close()

        asyncio.run(run())


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(params=["threads", "lanes", "foreign"])
def executor(request: pytest.FixtureRequest) -> Any:
    if request.param == "threads":
        return Threads()
    if request.param == "lanes":
        return DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1})
    return DaskExecutor(address=request.getfixturevalue("dask_cluster"))


def execute(flow: Flow, executor: Any, act: Act, **given: Any) -> Run:
    """Run a flow; *act* sees each event in the event loop, after the engine has taken it in."""
    run = Run(make_plan(flow))

    def observe(event: Event) -> None:
        asyncio.get_running_loop().call_soon(act, drive, event)

    drive = Drive(run, observe, patient=True)
    executor.execute(flow, drive, RunInfo(flow.name, "r", flow.check_parameters({}), **given))
    return run


def states(run: Run) -> dict[str, str]:
    return {
        plan.slug: found.state.name for plan, found in zip(run.plan.tasks, run.tasks, strict=True) if not plan.parameter
    }


@task
def hold(folder: str, name: str) -> str:
    """Says that it runs, and waits until it may end."""
    Path(folder, f"{name}-began").touch()
    deadline = time.monotonic() + 60
    while not Path(folder, "go").exists():
        assert time.monotonic() < deadline, "nobody let it go"
        time.sleep(0.01)
    return name


@task
def note(folder: str, name: Any) -> None:
    Path(folder, f"{name}-noted").touch()


@task(trigger=always_run)
def sweep(folder: str, after: Any) -> None:
    Path(folder, "swept").touch()


def once_started(count: int, then: Callable[[Drive], None]) -> Act:
    """Act when so many task runs have begun."""
    seen: list[Event] = []

    def act(drive: Drive, event: Event) -> None:
        if isinstance(event, TaskStarted):
            seen.append(event)
            if len(seen) == count:
                then(drive)

    return act


def cancel(drive: Drive) -> None:
    assert drive.session is not None
    drive.cancel(drive.session, "the test asks for it")  # type: ignore[arg-type]  # all three can withdraw


def test_what_runs_is_finished_and_nothing_else_begins(tmp_path: Path, executor: Any) -> None:
    folder = str(tmp_path)
    with Flow("hundred") as flow:
        done = hold.map(unmapped(folder), [str(number) for number in range(100)])
        note.map(unmapped(folder), done)
        sweep(folder, done)

    def stop(drive: Drive) -> None:
        cancel(drive)
        asyncio.get_running_loop().call_later(0.3, (tmp_path / "go").touch)

    run = execute(flow, executor, once_started(2, stop))
    assert isinstance(run.state, Cancelled), run.state
    began = {path.name for path in tmp_path.glob("*-began")}
    held = run.tasks[next(i for i, plan in enumerate(run.plan.tasks) if plan.name == "hold")]
    assert held.children is not None
    ended = {str(index) for index, child in enumerate(held.children) if isinstance(child.state, Success)}
    assert {f"{name}-began" for name in ended} == began, "what had begun has ended, and nobody says so of another"
    assert len(began) <= 4 * 16
    cancelled = [child for child in held.children if isinstance(child.state, Cancelled)]
    assert len(ended) + len(cancelled) == 100
    assert cancelled[0].state.message == "Not begun: the test asks for it."
    assert not list(tmp_path.glob("*-noted")), "what follows does not begin"
    assert (tmp_path / "swept").exists(), "what cleans up does"
    assert states(run)["sweep-1"] == "Success"


def test_a_resource_is_cleaned_up_after_a_cancel(tmp_path: Path, executor: Any) -> None:
    folder = str(tmp_path)

    @resource_manager
    class Lock:
        def __init__(self, folder: str) -> None:
            self.folder = folder

        def setup(self) -> str:
            Path(self.folder, "locked").touch()
            return self.folder

        def cleanup(self, resource: str) -> None:
            Path(self.folder, "locked").unlink()

    with Flow("locked") as flow, Lock(folder) as lock:
        held = hold(lock, "a")
        note(folder, held)

    def act(drive: Drive, event: Event) -> None:
        if (tmp_path / "a-began").exists() and not (tmp_path / "go").exists():
            cancel(drive)
            (tmp_path / "go").touch()

    def poll(drive: Drive, event: Event) -> None:
        act(drive, event)
        if not (tmp_path / "go").exists():
            asyncio.get_running_loop().call_later(0.02, poll, drive, event)

    started = []

    def begin_poll(drive: Drive, event: Event) -> None:
        if not started:
            started.append(1)
            poll(drive, event)

    run = execute(flow, executor, begin_poll)
    found = states(run)
    assert not (tmp_path / "locked").exists(), found
    assert found["hold-1"] == "Success"
    # What is sent to a scheduler somewhere else with what runs, as one chain, cannot be taken back from it.
    assert found["note-1"] in (("Cancelled", "Success") if getattr(executor, "address", None) else ("Cancelled",))
    assert found["Lock.cleanup-1"] == "Success"


def test_what_waits_for_its_next_run_or_a_person_is_not_run_again(tmp_path: Path, executor: Any) -> None:
    folder = str(tmp_path)

    @task(max_retries=3, retry_delay=timedelta(minutes=10))
    def breaks() -> None:
        raise ValueError("no such table")

    @task
    def asks() -> None:
        raise PAUSE("may I?")

    with Flow("waiting") as flow:
        note(folder, breaks())
        note(folder, asks())

    waiting: list[Event] = []

    def act(drive: Drive, event: Event) -> None:
        if isinstance(event, TaskEnded):
            waiting.append(event)
            if len(waiting) == 2:
                cancel(drive)

    run = execute(flow, executor, act)
    assert set(states(run).values()) == {"Cancelled"}
    broken = next(found for plan, found in zip(run.plan.tasks, run.tasks, strict=True) if plan.name == "breaks")
    assert "no such table" in (broken.state.message or ""), "why it would have been run again stays known"


def test_a_finished_run_is_not_cancelled(tmp_path: Path, executor: Any) -> None:
    with Flow("short") as flow:
        note(str(tmp_path), "only")

    def act(drive: Drive, event: Event) -> None:
        if drive.finished:
            cancel(drive)

    run = execute(flow, executor, act)
    assert isinstance(run.state, Success)


def test_a_person_answers_later_and_a_task_is_marked(tmp_path: Path, executor: Any) -> None:
    folder = str(tmp_path)

    @task(trigger=manual_only)
    def deploy(after: Any) -> str:
        return "deployed"

    @task(trigger=manual_only)
    def drop(after: Any) -> None:
        raise AssertionError("it was rejected")

    @task(max_retries=5, retry_delay=timedelta(minutes=10))
    def flaky() -> str:
        raise ValueError("again")

    with Flow("gates") as flow:
        made = deploy(folder)
        note(folder, made)
        drop(folder)
        read = flaky()
        note(folder, read)
        skipped = hold(folder, "never")
        note(folder, skipped)
    plan = make_plan(flow)
    done: set[str] = set()

    def act(drive: Drive, event: Event) -> None:
        now = time.time()
        for i, each in enumerate(plan.tasks):
            found = drive.run.tasks[i]
            if each.name in ("deploy", "drop") and found.state.is_paused() and each.name not in done:
                done.add(each.name)
                drive.post(PauseAnswered(i, found.run_count, now, each.name == "deploy", reason="a person said no"))
            if each.name == "flaky" and found.state.is_retrying() and "flaky" not in done:
                done.add("flaky")
                drive.post(TaskMarked(i, now, Success("I loaded it by hand")))
            if each.name == "hold" and found.state.is_running() and "hold" not in done:
                done.add("hold")
                drive.post(TaskMarked(i, now, Skipped("not today")))
                (tmp_path / "go").touch()

    run = execute(flow, executor, act)
    found = states(run)
    assert found["deploy-1"] == "Success"
    assert (tmp_path / "deployed-noted").exists()
    assert found["drop-1"] == "Failed"
    assert found["flaky-1"] == "Success"
    assert found["note-2"] == "Success", "what follows runs, without a value"
    assert (tmp_path / "None-noted").exists()
    assert found["hold-1"] == "Skipped", "what it returns in the end does not count"
    assert found["note-3"] == "Skipped"
    assert isinstance(run.state, Failed)
