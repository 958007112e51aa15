"""Tasks with limited tags: so many at a time, no worker held meanwhile; on threads, in lanes, on a foreign scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from headwater import Flow, Parameter, tags, task, unmapped
from headwater.core.errors import FlowError
from headwater.core.states import Cancelled, Success
from headwater.engine.drive import Drive, run_async
from headwater.engine.events import Event, TaskEnded, TaskMarked
from headwater.engine.gate import Demand, Gate
from headwater.engine.machine import Run
from headwater.engine.plan import make_plan
from headwater.executors import DaskExecutor
from headwater.executors.local import ThreadSession
from headwater.executors.program import FlowProgram, RunInfo
from headwater.pod.report import status_of
from headwater.triggers import always_run

LIMITED = frozenset({"db", "licence"})


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


def execute(flow: Flow, executor: Any, act: Callable[[Drive, Gate], None], **slots: int) -> Run:
    """Run a flow that is granted these slots; *act* is called every few milliseconds in the event loop."""
    run = Run(make_plan(flow, LIMITED))
    gate = Gate(run)
    gate.places = lambda: 2
    begun: list[Event] = []

    def observe(event: Event) -> None:
        if not begun:
            begun.append(event)
            look()

    def look() -> None:
        act(drive, gate)
        if run.finished_at is None:
            asyncio.get_running_loop().call_later(0.01, look)

    drive = Drive(run, observe, patient=True, gate=gate)
    gate.grant(1, slots, {})
    executor.execute(flow, drive, RunInfo(flow.name, "r", flow.check_parameters({})))
    return run


def nothing(drive: Drive, gate: Gate) -> None:
    pass


@task(tags=["db"])
def write(folder: str, number: int) -> int:
    """Counts how many of it run at the same time."""
    mine = Path(folder, f"in-{number}")
    mine.touch()
    together = len(list(Path(folder).glob("in-*")))
    Path(folder, f"together-{together}").touch()
    time.sleep(0.01)
    mine.unlink()
    return number


def most(folder: Path) -> int:
    return max(int(path.name.partition("-")[2]) for path in folder.glob("together-*"))


def test_no_more_run_at_a_time_than_there_are_slots(tmp_path: Path, executor: Any) -> None:
    with Flow("writes") as flow:
        # Each can follow the one before it on its worker, but has to come back for its slot.
        again = write.map(unmapped(str(tmp_path)), write.map(unmapped(str(tmp_path)), list(range(12))))
        last = write(str(tmp_path), 100, upstream_tasks=[again])
    run = execute(flow, executor, nothing, db=1)
    assert isinstance(run.state, Success), run.state
    assert flow.slugs[last] == "write-db-3"
    assert most(tmp_path) == 1


def test_who_waits_holds_no_worker(tmp_path: Path, executor: Any) -> None:
    """All are ready at once, and both threads would be taken."""

    @task
    def other(folder: str, number: int) -> None:
        Path(folder, f"other-{number}").touch()

    with Flow("mixed") as flow:
        write.map(unmapped(str(tmp_path)), list(range(4)))
        other.map(unmapped(str(tmp_path)), list(range(8)))

    def act(drive: Drive, gate: Gate) -> None:
        if len(list(tmp_path.glob("other-*"))) == 8 and gate.serial == 1:
            assert not list(tmp_path.glob("together-*"))
            found = status_of(drive.run, gate)
            assert found["taskDemand"] == {"serial": 1, "tags": [{"name": "db", "wanted": 2, "held": 0}]}
            (entry,) = [task for task in found["tasks"] if task["name"] == "write"]
            assert entry["message"] == 'Waits for a slot of tag "db"'
            assert gate.grant(2, {"db": 2}, {})
            drive.admit()

    run = execute(flow, executor, act, db=0)
    assert isinstance(run.state, Success), run.state
    assert most(tmp_path) <= 2


def test_a_slot_comes_back_from_every_end(tmp_path: Path, executor: Any) -> None:
    @task(max_retries=2, retry_delay=timedelta(milliseconds=10), tags=["db"])
    def breaks(folder: str, number: int) -> None:
        write.run(folder, number)
        raise ValueError("no such table")

    @task(timeout=1, tags=["db"])
    def hangs() -> None:
        time.sleep(5)

    with Flow("ends") as flow:
        breaks.map(unmapped(str(tmp_path)), list(range(4)))
        hangs()
        write(str(tmp_path), 9)
    run = execute(flow, executor, nothing, db=1)
    failed = {plan.name: found for plan, found in zip(run.plan.tasks, run.tasks, strict=True)}
    assert isinstance(failed["write"].state, Success)
    assert len(list(tmp_path.glob("together-*"))) == 1
    children = failed["breaks"].children
    assert children is not None
    assert [child.runs for child in children] == [3] * 4


def test_a_cancelled_run_takes_back_who_waits_but_what_cleans_up(tmp_path: Path, executor: Any) -> None:
    @task(trigger=always_run, tags=["db"])
    def sweep(folder: str, after: Any) -> None:
        Path(folder, "swept").touch()

    with Flow("cancelled") as flow:
        sweep(str(tmp_path), write.map(unmapped(str(tmp_path)), list(range(4))))

    def act(drive: Drive, gate: Gate) -> None:
        if gate.waits and not drive.run.cancelled:
            assert drive.session is not None
            drive.cancel(drive.session, "the test asks for it")  # type: ignore[arg-type]  # all can withdraw
        elif gate.waits and gate.serial == 1:
            assert not (tmp_path / "swept").exists()
            gate.grant(2, {"db": 1}, {})
            drive.admit()

    run = execute(flow, executor, act, db=0)
    assert isinstance(run.state, Cancelled), run.state
    assert not list(tmp_path.glob("together-*"))
    assert (tmp_path / "swept").exists()


def test_who_is_marked_while_it_waits_does_not_run(tmp_path: Path, executor: Any) -> None:
    with Flow("marked") as flow:
        write(str(tmp_path), 1)

    def act(drive: Drive, gate: Gate) -> None:
        if gate.waits:
            gate.grant(2, {"db": 1}, {})
            index = next(i for i, plan in enumerate(drive.run.plan.tasks) if plan.name == "write")
            drive.post(TaskMarked(index, time.time(), Success("It was written by hand.")))

    run = execute(flow, executor, act, db=0)
    assert isinstance(run.state, Success), run.state
    assert not list(tmp_path.glob("together-*"))


# The gate by itself


def gate_of(*names: str) -> tuple[Gate, Run, list[Any]]:
    """A gate with a ready task run for each name, which has the tags that the name is made of, such as "db+licence"."""
    with Flow("ready") as flow:
        for name in names:

            @task(name=name, tags=[tag for tag in name.split("+") if tag])
            def ready() -> None:
                pass

            ready()
    run = Run(make_plan(flow, LIMITED))
    drive = Drive(run)
    drive.session = Kept()
    drive.post(RunInfo("ready", "r", {}).begin())
    return Gate(run), run, drive.session.commands


class Kept:
    def __init__(self) -> None:
        self.commands: list[Any] = []

    def submit(self, command: Any) -> None:
        self.commands.append(command)

    def release(self, ref: Any) -> None:
        pass


def let_through(gate: Gate, run: Run, commands: list[Any]) -> list[str]:
    return [run.plan.tasks[command.task].name for command in commands if gate.passes(command)]


def end(gate: Gate, command: Any) -> None:
    gate.saw(TaskEnded(command.task, command.run_count, 1.0, Success(), None, None, command.map_index))


def test_a_task_takes_a_slot_of_each_of_its_tags_or_none() -> None:
    gate, run, commands = gate_of("db+licence", "db", "licence", "other", "db")
    gate.grant(1, {"db": 1, "licence": 0}, {"licence": "of 3 in the namespace"})
    assert let_through(gate, run, commands) == ["db", "other"]
    assert gate.waits_for(0) == 'Waits for a slot of tag "db" and of tag "licence" (of 3 in the namespace)'
    assert gate.waits_for(1) == ""
    assert gate.admitted() == []
    end(gate, commands[1])
    assert [command.task for command in gate.admitted()] == [4], "what waits for another tag too is not in its way"
    gate.grant(2, {"db": 2, "licence": 1}, {})
    assert [command.task for command in gate.admitted()] == [0], "the oldest first, and licence is taken then"
    end(gate, commands[0])
    assert [command.task for command in gate.admitted()] == [2]


def test_an_older_grant_changes_nothing() -> None:
    gate, run, commands = gate_of("db", "db")
    assert gate.grant(2, {"db": 2}, {})
    assert not gate.grant(1, {"db": 0}, {})
    assert not gate.grant(2, {"db": 0}, {})
    assert let_through(gate, run, commands) == ["db", "db"]


def test_a_smaller_grant_lets_run_on_what_runs() -> None:
    gate, run, commands = gate_of("db", "db", "db")
    gate.grant(1, {"db": 2}, {})
    assert len(let_through(gate, run, commands)) == 2
    gate.grant(2, {"db": 1}, {})
    assert gate.demand() == {"db": Demand(wanted=2, held=2)}, "there is one place only"
    end(gate, commands[0])
    assert gate.admitted() == []
    assert gate.demand() == {"db": Demand(wanted=1, held=1)}
    gate.places = lambda: 8
    assert gate.demand() == {"db": Demand(wanted=2, held=1)}
    end(gate, commands[0])
    assert gate.demand() == {"db": Demand(wanted=2, held=1)}, "an end that is told twice counts once"


def test_what_nobody_wrote_has_no_limit() -> None:
    with Flow("automatic") as flow, tags("db"):
        number = Parameter("number", default=1)

        @task
        def total(numbers: list[int]) -> int:
            return sum(numbers)

        total([number, 2])
    plan = make_plan(flow, LIMITED)
    assert {task.name: task.limited for task in plan.tasks if task.limited} == {"total": ("db",)}
    assert not Gate(Run(make_plan(flow))).is_needed


def test_a_flow_with_more_limited_tags_than_can_be_told_is_refused() -> None:
    names = [f"tag-{i}" for i in range(65)]

    @task(tags=names)
    def wide() -> None: ...

    with Flow("many") as flow:
        wide()
    with pytest.raises(FlowError, match="65 tags with a limit, and at most 64"):
        Gate(Run(make_plan(flow, frozenset(names))))
    Gate(Run(make_plan(flow, frozenset(names[:64]))))
