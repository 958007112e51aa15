"""The engine by properties: random graphs, outcomes and orders of events."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.states import Crashed, Failed, Retrying, Success, TriggerFailed
from headwater.engine.events import (
    Failure,
    ReleaseResult,
    RetryCame,
    RunBegan,
    SubmitTask,
    TaskCrashed,
    TaskFailed,
    TaskStarted,
    TaskSucceeded,
    WakeAt,
)
from headwater.engine.machine import Run, step
from headwater.engine.plan import Plan, TaskPlan

FAILURE = Failure("ValueError", "bad")


def make_plan(edges: list[list[tuple[int, bool]]], retries: list[int] | None = None) -> Plan:
    """*edges[i]* are (upstream, whether its result is read) of task i."""
    n = len(edges)
    down: list[list[int]] = [[] for _ in range(n)]
    for i, ups in enumerate(edges):
        for up, _ in ups:
            down[up].append(i)
    tasks = tuple(
        TaskPlan(
            name=f"t{i}",
            slug=f"t{i}-1",
            upstream=tuple(up for up, _ in ups),
            downstream=tuple(down[i]),
            inputs=tuple((f"x{up}", up) for up, read in ups if read),
            max_retries=retries[i] if retries else 0,
            retry_delay_seconds=1.0,
        )
        for i, ups in enumerate(edges)
    )
    return Plan("f", tasks, frozenset(i for i in range(n) if not down[i]))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    n = draw(st.integers(1, 12))
    edges = [[(up, draw(st.booleans())) for up in range(i) if draw(st.integers(0, 3)) == 0] for i in range(n)]
    return make_plan(edges, [draw(st.integers(0, 2)) for _ in range(n)])


def drive(plan: Plan, seed: int, keep_results: bool) -> tuple[Run, list[str]]:
    """Play an executor that finishes task runs in random order, with random outcomes, and repeats itself."""
    chance = random.Random(seed)
    run, log = Run(plan, keep_results=keep_results), []
    under_way: list[SubmitTask] = []
    alarms: list[WakeAt] = []
    released: set[int] = set()
    events: list = [RunBegan(0.0, {})]
    clock = 0.0
    while True:
        while events:
            event = events.pop(0)
            for command in step(run, event):
                match command:
                    case SubmitTask():
                        check_submission(run, command, released, log)
                        under_way.append(command)
                    case WakeAt():
                        alarms.append(command)
                    case ReleaseResult():
                        assert command.task not in released, "a result is released once"
                        released.add(command.task)
            if chance.random() < 0.2 and not isinstance(event, RunBegan):
                assert step(run, event) == [], "an event that comes twice asks for nothing"
        clock += 1.0
        if under_way and (not alarms or chance.random() < 0.7):
            done = under_way.pop(chance.randrange(len(under_way)))
            i, count = done.task, done.run_count
            log.append(f"run {i}")
            outcome = chance.choice(
                [
                    TaskSucceeded(i, count, clock, f"r{i}"),
                    TaskSucceeded(i, count, clock, f"r{i}"),
                    TaskFailed(i, count, clock, FAILURE),
                    TaskCrashed(i, count, clock, "gone"),
                ]
            )
            events = [TaskStarted(i, count, clock), outcome]
            if chance.random() < 0.2:
                events.reverse()  # the start may be told late
        elif alarms:
            alarm = alarms.pop(chance.randrange(len(alarms)))
            events = [RetryCame(alarm.task, alarm.run_count, clock)]
        else:
            return run, log


def check_submission(run: Run, command: SubmitTask, released: set[int], log: list[str]) -> None:
    plan = run.plan.tasks[command.task]
    for up in plan.upstream:
        assert run.tasks[up].state.is_successful(), "no task before its upstreams"
    assert command.inputs == {key: f"r{up}" for key, up in plan.inputs}, "it gets the results it asked for"
    assert not released & {up for _, up in plan.inputs}, "none of them is released"


@settings(max_examples=300, deadline=None)
@given(plans(), st.integers(0, 2**32), st.booleans())
def test_every_run_ends_and_keeps_the_rules(plan: Plan, seed: int, keep_results: bool) -> None:
    run, log = drive(plan, seed, keep_results)

    assert run.finished_at is not None
    assert run.unfinished == 0
    assert all(task.state.is_finished() for task in run.tasks)
    for i, task in enumerate(run.tasks):
        runs = log.count(f"run {i}")
        assert runs == task.run_count <= plan.tasks[i].max_retries + 1
        upstream_failed = any(run.tasks[up].state.is_failed() for up in plan.tasks[i].upstream)
        assert isinstance(task.state, TriggerFailed) == upstream_failed
        if isinstance(task.state, Failed | Crashed) and not isinstance(task.state, TriggerFailed):
            assert runs == plan.tasks[i].max_retries + 1, "every retry was used"
        assert (task.ref is not None) == (task.state.is_successful() and keep_results)
    failed = any(run.tasks[i].state.is_failed() for i in plan.reference)
    assert run.state.is_failed() == failed
    assert run.state.is_successful() == (not failed)


def test_a_result_is_released_after_its_last_reader() -> None:
    run = Run(make_plan([[], [(0, True)], [(0, True)], [(0, False)]]), keep_results=False)
    step(run, RunBegan(0, {}))
    assert [c.task for c in step(run, TaskSucceeded(0, 1, 1, "r0"))] == [1, 2, 3]
    assert step(run, TaskSucceeded(1, 1, 2, "r1")) == [ReleaseResult(1, "r1")]
    assert step(run, TaskSucceeded(2, 1, 3, "r2")) == [ReleaseResult(0, "r0"), ReleaseResult(2, "r2")]


def test_a_retry_waits_its_delay_and_says_so() -> None:
    run = Run(make_plan([[]], [1]))
    step(run, RunBegan(0, {}))
    assert step(run, TaskFailed(0, 1, 10.0, FAILURE)) == [WakeAt(11.0, 0, 1)]
    assert isinstance(run.tasks[0].state, Retrying)
    assert run.tasks[0].state.message == "Retrying Task (after attempt 1 of 2): ValueError: bad"
    assert step(run, RetryCame(0, 1, 11.0)) == [SubmitTask(0, 2, {})]
    assert step(run, TaskSucceeded(0, 1, 12.0, "late")) == [], "the first run of the task is over"
    step(run, TaskSucceeded(0, 2, 12.0, "r0"))
    assert run.tasks[0].state == Success(result=None)
    assert run.tasks[0].ref == "r0"


def test_a_long_chain_fails_without_recursion() -> None:
    n = 5000
    run = Run(make_plan([[] if i == 0 else [(i - 1, True)] for i in range(n)]))
    step(run, RunBegan(0, {}))
    step(run, TaskFailed(0, 1, 1.0, FAILURE))
    assert run.finished_at == 1.0
    assert sum(isinstance(task.state, TriggerFailed) for task in run.tasks) == n - 1


def test_parameters_are_known_at_once() -> None:
    tasks = (TaskPlan("p", "p", downstream=(1,), parameter="p"), TaskPlan("t", "t-1", (0,), (), (("x", 0),)))
    run = Run(Plan("f", tasks, frozenset([1])))
    assert step(run, RunBegan(0, {"p": 5})) == [SubmitTask(1, 1, {"x": 5})]


@pytest.mark.parametrize("began", [True, False])
def test_an_empty_run_succeeds(began: bool) -> None:
    run = Run(Plan("f", (), frozenset()))
    assert step(run, RunBegan(0, {})) == []
    assert run.state == Success()
    if began:
        assert step(run, RunBegan(1, {})) == []
        assert run.finished_at == 0
