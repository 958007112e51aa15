"""The engine by properties: random graphs, outcomes and orders of events come to what the naive model says."""

from __future__ import annotations

import random
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core import triggers
from headwater.core.signals import FAIL
from headwater.core.states import Crashed, Failed, Mapped, Paused, Retrying, Skipped, State, Success, TriggerFailed
from headwater.engine import advance
from headwater.engine.events import (
    NO_REF,
    AskToResume,
    PauseAnswered,
    ReleaseResult,
    ReleaseResults,
    RunBegan,
    SubmitTask,
    TaskCrashed,
    TaskEnded,
    TaskStarted,
    TimeCame,
    WakeAt,
)
from headwater.engine.inputs import Each, Value, Whole, measure, resolve
from headwater.engine.judge import ask_trigger
from headwater.engine.machine import Run, retrying, step
from headwater.engine.plan import EdgePlan, Plan, TaskPlan, plan_of
from simulation import naive as model


class Result:
    """A result as an executor holds it."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.released = False

    def read(self) -> Any:
        assert not self.released, "a result that is read is still there"
        return self.value


def words(value: Any) -> Any:
    """Exceptions as the model writes them."""
    if isinstance(value, list):
        return [words(item) for item in value]
    if isinstance(value, triggers.TRIGGERFAIL):
        return "TriggerFailed error"
    if isinstance(value, FAIL):
        return "Failed error"
    return str(value) if isinstance(value, BaseException) else value


def plan_from(tasks: list[Any]) -> Plan:
    down: list[dict[int, None]] = [{} for _ in tasks]
    for i, task in enumerate(tasks):
        for edge in task.edges:
            down[edge.up][i] = None
    mapped = [any(edge.mapped for edge in task.edges) for task in tasks]

    def depth(i: int) -> int:
        wanted = [edge for task in tasks for edge in task.edges if edge.up == i and edge.mapped]
        if mapped[i]:
            return int(any(edge.flattened for edge in wanted))
        return max((2 if edge.flattened else 1 for edge in wanted), default=0)

    plans = tuple(
        TaskPlan(
            name=f"t{i}",
            slug=f"t{i}-1",
            edges=tuple(EdgePlan(edge.up, edge.key, edge.mapped, edge.flattened) for edge in task.edges),
            upstream=tuple(dict.fromkeys(edge.up for edge in task.edges)),
            downstream=tuple(down[i]),
            mapped=mapped[i],
            trigger=getattr(triggers, task.trigger),
            skip_on_upstream_skip=task.skip,
            checked=task.checked,
            measure=depth(i),
            max_retries=task.retries,
            retry_delays=(1.0,),
        )
        for i, task in enumerate(tasks)
    )
    return plan_of("f", plans, frozenset(i for i in range(len(tasks)) if not down[i]))


@st.composite
def graphs(draw: st.DrawFn) -> list[Any]:
    tasks: list[Any] = []
    for i in range(draw(st.integers(1, 9))):
        edges = []
        for up in range(i):
            if draw(st.integers(0, 2)) == 0:
                mapped = draw(st.integers(0, 2)) > 0 and draw(st.booleans())
                key = f"x{up}" if draw(st.integers(0, 3)) else None
                edges.append(model.Edge(up, key, mapped, mapped and key is not None and draw(st.integers(0, 3)) == 0))
        tasks.append(
            model.Task(
                edges,
                trigger=draw(
                    st.sampled_from(
                        ["all_successful"] * 4
                        + ["all_failed", "any_successful", "any_failed", "all_finished", "not_all_skipped"]
                    )
                ),
                skip=draw(st.integers(0, 3)) > 0,
                retries=draw(st.integers(0, 2)),
                outcomes=tuple(
                    draw(st.lists(st.sampled_from(["ok"] * 6 + ["fail", "skip", "crash"]), min_size=1, max_size=3))
                ),
                value=draw(st.sampled_from(["plain", "list", "list", "nested"])),
                checked=draw(st.integers(0, 4)) == 0,
            )
        )
    return tasks


class Player:
    """An executor that ends task runs in random order, tells starts late and repeats itself."""

    def __init__(self, tasks: list[Any], seed: int, keep_results: bool) -> None:
        self.tasks, self.chance = tasks, random.Random(seed)
        self.run = Run(plan_from(tasks), keep_results=keep_results)
        self.expected = model.evaluate(tasks)
        self.clock = 0.0
        self.under_way: list[SubmitTask] = []
        self.alarms: list[WakeAt] = []
        self.released: set[int] = set()
        self.runs: dict[tuple[int, int], int] = {}

    def play(self) -> None:
        self.tell(RunBegan(0.0, {}))
        while self.under_way or self.alarms:
            self.clock += 1.0
            if self.under_way and (not self.alarms or self.chance.random() < 0.7):
                command = self.under_way.pop(self.chance.randrange(len(self.under_way)))
                for event in self.carry_out(command):
                    self.tell(event)
            else:
                alarm = self.alarms.pop(self.chance.randrange(len(self.alarms)))
                self.tell(TimeCame(alarm.task, alarm.run_count, self.clock, alarm.map_index))
            for i, task in enumerate(self.run.tasks):
                if task.family is not None and not task.family.follows:
                    out = sum(command.task == i and command.map_index >= 0 for command in self.under_way)
                    assert task.family.in_flight == out, "it knows how many children are under way"

    def tell(self, event: Any) -> None:
        for command in step(self.run, event):
            match command:
                case SubmitTask():
                    self.under_way.append(command)
                case WakeAt():
                    self.alarms.append(command)
                case ReleaseResults(_, refs):
                    for ref in refs:
                        assert not ref.released, "a result is released once"
                        ref.released = True
                case ReleaseResult(_, ref, _):
                    assert not ref.released, "a result is released once"
                    ref.released = True
        if self.chance.random() < 0.2 and not isinstance(event, RunBegan):
            assert step(self.run, event) == [], "an event that comes twice asks for nothing"

    def carry_out(self, command: SubmitTask) -> list[Any]:
        i, index, count = command.task, command.map_index, command.run_count
        task, now = self.tasks[i], self.clock
        given = {key: words(resolve(value, index, Result.read)) for key, value in command.inputs.items()}
        node = self.expected[i] if index < 0 else self.expected[i].children[index]
        if command.upstream is not None:
            decided = ask_trigger(getattr(triggers, task.trigger), command.upstream)
            if decided is not None:
                return [TaskEnded(i, count, now, decided, map_index=index)]
        assert given == node.inputs, "it gets the results it asked for"
        self.runs[(i, index)] = self.runs.get((i, index), 0) + 1
        started = TaskStarted(i, count, now, index)
        outcome = task.outcome(index)
        last = self.runs[(i, index)] > task.retries
        if outcome == "crash":
            return [started, TaskCrashed(i, count, now, "crash error", index)]
        if outcome == "fail" and not last:
            return [
                started,
                TaskEnded(i, count, now, retrying(command.number, task.retries, "x", now + 1), map_index=index),
            ]
        if outcome == "fail":
            return [started, TaskEnded(i, count, now, Failed("fail", ValueError("fail error")), map_index=index)]
        if outcome == "skip":
            return [started, TaskEnded(i, count, now, Skipped("not today"), map_index=index)]
        value = model.value_of(task, i, index)
        length = measure(value, self.run.plan.tasks[i].measure)
        events = [started, TaskEnded(i, count, now, Success(), Result(value), length, index)]
        return events[::-1] if self.chance.random() < 0.2 else events  # the start may be told late


def told(node: Any) -> Any:
    return node.state if node.children is None else (node.state, [child.state for child in node.children])


def found(task: Any) -> Any:
    return task.state.name if task.children is None else (task.state.name, [c.state.name for c in task.children])


@settings(max_examples=600, deadline=None)
@given(graphs(), st.integers(0, 2**32), st.booleans(), st.sampled_from([1, 2, 1000]))
def test_every_run_ends_as_the_model_says(tasks: list[Any], seed: int, keep_results: bool, window: int) -> None:
    player = Player(tasks, seed, keep_results)
    with mock.patch.object(advance, "WINDOW", window):
        player.play()

    run = player.run
    assert [found(task) for task in run.tasks] == [told(node) for node in player.expected]
    assert run.unfinished == 0
    assert run.finished_at is not None
    for (i, index), runs in player.runs.items():
        assert runs == run.at(i, index).runs
        failing = tasks[i].outcome(index) in ("fail", "crash")
        assert runs == (tasks[i].retries + 1 if failing else 1), "every retry is used, and no more"
    for one in (one for task in run.tasks for one in [task, *(task.children or [])]):
        assert keep_results or one.ref is NO_REF, "every result was released"
    states = [n.state for i in run.plan.reference for n in player.expected[i].all()]
    assert run.state.is_failed() == any(state not in model.GOOD for state in states)


# Single behaviours


def chain(*tasks: Any) -> Run:
    return Run(plan_from([model.Task([], value="list"), *tasks]))


def test_children_of_a_map_over_a_map_run_as_soon_as_their_own_item_is_there() -> None:
    over = model.Edge(0, "x", mapped=True)
    run = chain(model.Task([over]), model.Task([model.Edge(1, "y", mapped=True)]))
    step(run, RunBegan(0, {}))
    first = step(run, TaskEnded(0, 1, 1, Success(), "list", 3))
    assert first == [SubmitTask(1, 1, {"x": Each(Whole("list"))}, n) for n in range(3)]
    assert step(run, TaskEnded(1, 1, 2, Success(), "r1", None, 1)) == [SubmitTask(2, 1, {"y": Whole("r1")}, 1)]


def test_the_shortest_input_decides_the_width() -> None:
    run = Run(
        plan_from(
            [
                model.Task([]),
                model.Task([]),
                model.Task([model.Edge(0, "x", mapped=True), model.Edge(1, "y", mapped=True)]),
            ]
        )
    )
    step(run, RunBegan(0, {}))
    step(run, TaskEnded(0, 1, 1, Success(), "a", 5))
    assert len(step(run, TaskEnded(1, 1, 1, Success(), "b", 2))) == 2
    assert isinstance(run.tasks[2].state, Mapped)


@pytest.mark.parametrize(
    ("length", "state", "message"),
    [
        (-1, Failed, 'At least one upstream state has an unmappable result: "t0" gave no list'),
        (0, Mapped, "Preparing to submit 0 mapped tasks"),
    ],
)
def test_what_cannot_be_mapped_over_is_told(length: int, state: type[State], message: str) -> None:
    run = chain(model.Task([model.Edge(0, "x", mapped=True)]))
    step(run, RunBegan(0, {}))
    assert step(run, TaskEnded(0, 1, 1, Success(), "r0", length)) == []
    assert type(run.tasks[1].state) is state
    assert str(run.tasks[1].state.message).startswith(message)
    assert run.finished_at == 1


def test_a_result_is_released_after_its_last_reader() -> None:
    edge = model.Edge(0, "x")
    tasks = [model.Task([]), model.Task([edge]), model.Task([edge]), model.Task([model.Edge(0, None)])]
    run = Run(plan_from(tasks), keep_results=False)
    step(run, RunBegan(0, {}))
    assert [c.task for c in step(run, TaskEnded(0, 1, 1, Success(), "r0"))] == [1, 2, 3]
    assert step(run, TaskEnded(1, 1, 2, Success(), "r1")) == [ReleaseResult(1, "r1")]
    assert step(run, TaskEnded(2, 1, 3, Success(), "r2")) == [ReleaseResult(0, "r0"), ReleaseResult(2, "r2")]


def test_a_retry_waits_its_delay_and_says_so() -> None:
    run = Run(plan_from([model.Task([], retries=1)]))
    step(run, RunBegan(0, {}))
    assert step(run, TaskCrashed(0, 1, 10.0, "gone")) == [WakeAt(11.0, 0, 1)]
    assert isinstance(run.tasks[0].state, Retrying)
    assert run.tasks[0].state.message == "Retrying Task (after attempt 1 of 2): gone"
    assert step(run, TimeCame(0, 1, 11.0)) == [SubmitTask(0, 2, {}, number=2)]
    assert step(run, TaskEnded(0, 1, 12.0, Success(), "late")) == [], "the first run of the task is over"
    step(run, TaskEnded(0, 2, 12.0, Success(), "r0"))
    assert run.tasks[0].state == Success()
    assert run.tasks[0].ref == "r0"


@pytest.mark.parametrize(("approved", "state"), [(True, Success), (False, Failed)])
def test_a_paused_task_waits_for_a_person(approved: bool, state: type[State]) -> None:
    run = Run(plan_from([model.Task([])]))
    step(run, RunBegan(0, {}))
    assert step(run, TaskEnded(0, 1, 1.0, Paused("may I?"))) == [AskToResume(0, 1, "may I?")]
    commands = step(run, PauseAnswered(0, 1, 2.0, approved))
    if approved:
        assert commands == [SubmitTask(0, 2, {}, resumed=True)], "it is its first run still"
        step(run, TaskEnded(0, 2, 3.0, Success(), "r"))
    assert type(run.tasks[0].state) is state


def test_a_task_with_handlers_is_told_of_what_the_engine_decides() -> None:
    plan = plan_from([model.Task([]), model.Task([model.Edge(0, None)])])
    tasks = (plan.tasks[0], TaskPlan(**{**_fields(plan.tasks[1]), "handled": True}))
    run = Run(plan_of("f", tasks, frozenset([1])))
    step(run, RunBegan(0, {}))
    (told,) = step(run, TaskEnded(0, 1, 1.0, Failed("no")))
    assert isinstance(told.enter, TriggerFailed)
    step(run, TaskEnded(1, told.run_count, 2.0, Success("a handler thought otherwise"), "r"))
    assert run.state.is_successful()
    assert run.tasks[1].runs == 0


def test_a_state_holds_when_nobody_could_be_told_of_it() -> None:
    plan = plan_from([model.Task([])])
    run = Run(plan_of("f", (TaskPlan(**{**_fields(plan.tasks[0]), "handled": True}),), frozenset([0])))
    step(run, RunBegan(0, {}))
    (told,) = step(run, TaskCrashed(0, 1, 1.0, "gone"))
    assert step(run, TaskCrashed(0, told.run_count, 2.0, "gone too")) == []
    assert isinstance(run.tasks[0].state, Crashed)
    assert run.tasks[0].state.message == "gone"


def _fields(plan: TaskPlan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in TaskPlan.__slots__}


def test_a_long_chain_fails_without_recursion() -> None:
    n = 5000
    run = Run(plan_from_chain(n))
    step(run, RunBegan(0, {}))
    step(run, TaskEnded(0, 1, 1.0, Failed("no")))
    assert run.finished_at == 1.0
    assert sum(isinstance(task.state, TriggerFailed) for task in run.tasks) == n - 1


def plan_from_chain(n: int) -> Plan:
    tasks = [
        TaskPlan(
            name=f"t{i}",
            slug=f"t{i}-1",
            edges=(EdgePlan(i - 1, "x"),) if i else (),
            upstream=(i - 1,) if i else (),
            downstream=(i + 1,) if i < n - 1 else (),
        )
        for i in range(n)
    ]
    return plan_of("f", tuple(tasks), frozenset([n - 1]))


def test_parameters_are_known_at_once() -> None:
    tasks = (
        TaskPlan("p", "p", downstream=(1,), parameter="p"),
        TaskPlan("t", "t-1", (EdgePlan(0, "x"),), (0,)),
    )
    run = Run(plan_of("f", tasks, frozenset([1])))
    assert step(run, RunBegan(0, {"p": 5})) == [SubmitTask(1, 1, {"x": Value(5)})]


def test_an_empty_run_succeeds() -> None:
    run = Run(plan_of("f", (), frozenset()))
    assert step(run, RunBegan(0, {})) == []
    assert run.state == Success()
    assert step(run, RunBegan(1, {})) == []
    assert run.finished_at == 0


@pytest.mark.parametrize("event", [TaskEnded(0, 1, 1.0, Success(), "r", None, 3), TaskStarted(0, 7, 1.0)])
def test_an_event_of_what_is_not_under_way_changes_nothing(event: Any) -> None:
    run = Run(plan_from([model.Task([])]))
    step(run, RunBegan(0, {}))
    assert step(run, event) == []
    assert run.tasks[0].state.is_pending()
