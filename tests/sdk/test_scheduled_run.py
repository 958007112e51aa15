"""`flow.run()` on a schedule, and with tasks that are finished already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater import Flow, Parameter, context, task
from headwater.core.errors import FlowError
from headwater.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from headwater.schedules import Schedule
from headwater.schedules.clocks import DatesClock
from headwater.states import Failed, Scheduled, Skipped, Success
from headwater.triggers import all_finished

EXECUTORS = {
    "local": LocalExecutor,
    "processes": lambda: LocalDaskExecutor("processes", num_workers=1),
    "dask": lambda: DaskExecutor(cluster_kwargs={"n_workers": 1}),
}


def test_a_flow_runs_at_each_time_of_its_schedule_with_its_parameters() -> None:
    seen: list[Any] = []

    @task
    def note(n: int) -> None:
        seen.append((n, context.scheduled_start_time))

    now = datetime.now(UTC)
    times = [now + timedelta(seconds=0.3), now + timedelta(seconds=0.6)]
    clocks = [DatesClock([times[0]], parameter_defaults={"n": 1}), DatesClock([times[1]])]
    with Flow("f", schedule=Schedule(clocks=clocks)) as flow:
        note(Parameter("n", default=0))
    assert isinstance(flow.run(), Success)
    assert seen == [(1, times[0]), (0, times[1])]
    assert datetime.now(UTC) >= times[1]
    assert isinstance(flow.run(), Scheduled), "the schedule is over"
    flow.run(run_on_schedule=False, context={"scheduled_start_time": now}, n=7)
    assert seen[2:] == [(7, now)]


def test_parameters_that_are_given_go_before_those_of_the_clock() -> None:
    seen: list[int] = []

    @task
    def note(n: int) -> None:
        seen.append(n)

    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    with Flow("f", schedule=Schedule(clocks=[DatesClock([soon], parameter_defaults={"n": 1})])) as flow:
        note(Parameter("n"))
    flow.run(n=5)
    assert seen == [5]


def test_a_schedule_that_is_none_says_what_to_make() -> None:
    with Flow("f", schedule="0 * * * *") as flow:
        pass
    with pytest.raises(FlowError, match=r"CronSchedule\('0 \* \* \* \*'\)"):
        flow.run()


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Any:
    return EXECUTORS[request.param]()


@task
def numbers() -> list[int]:
    raise AssertionError("it is finished already")


@task
def double(x: int) -> int:
    return 2 * x


@task(trigger=all_finished, skip_on_upstream_skip=False)
def tell(x: Any) -> str:
    return str(x)


def test_tasks_that_are_finished_are_not_run_again(executor: Any) -> None:
    with Flow("f") as flow:
        found = numbers()
        doubled = double.map(found)
        bad, skipped = numbers(), numbers()
        told = [tell(bad), tell(skipped)]
    given = {found: Success(result=[1, 2]), bad: Failed("earlier", ValueError("no")), skipped: Skipped("earlier")}
    state = flow.run(executor=executor, task_states=given)
    assert state.result[doubled].result == [2, 4]
    assert [state.result[t].result for t in told] == ["no", "None"]
    assert state.result[found].result == [1, 2]


@pytest.mark.parametrize("state", [Scheduled("later"), "Success"])
def test_a_state_that_is_not_finished_cannot_be_given(state: Any) -> None:
    with Flow("f") as flow:
        found = numbers()
    with pytest.raises(FlowError, match="give a finished state"):
        flow.run(task_states={found: state})


def test_a_date_that_is_none_is_refused_before_anything_runs() -> None:
    with Flow("f") as flow:
        numbers()
    with pytest.raises(FlowError, match="write it as 2026-11-23"):
        flow.run(context={"date": "yesterday"})
