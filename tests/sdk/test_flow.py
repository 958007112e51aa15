"""Building flows: calls, dependencies, and every error that says what to do."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from headwater import Flow, Parameter, Task, task
from headwater.core.errors import CycleError, FlowError, ParameterError


@task
def one() -> int:
    return 1


@task
def add(x: int, y: int = 10) -> int:
    return x + y


async def sleepy() -> None: ...


def test_calling_a_task_adds_a_copy_bound_to_its_arguments() -> None:
    with Flow("f") as flow:
        first = one()
        second = add(first, y=5)
    assert flow.tasks == [first, second]
    assert [(e.upstream, e.downstream, e.key) for e in flow.edges] == [(first, second, "x")]
    assert flow.constants == {second: {"y": 5}}
    assert second is not add
    assert add.run(1, 2) == 3


def test_the_same_task_called_twice_is_two_tasks_with_slugs() -> None:
    with Flow("f") as flow:
        add(one(), one())
    assert list(flow.slugs.values()) == ["one-1", "one-2", "add-1"]


def test_state_only_dependencies_hand_nothing_over() -> None:
    with Flow("f") as flow:
        first = one()
        second = one(upstream_tasks=[first])
    assert [(e.upstream, e.downstream, e.key) for e in flow.edges] == [(first, second, None)]
    assert flow.upstream_tasks(second) == [first]
    assert flow.terminal_tasks() == [second]


def test_the_imperative_style_builds_the_same() -> None:
    class Add(Task):
        def run(self, x: int, y: int = 10) -> int:
            return x + y

    flow = Flow("f")
    first, second = one.copy(), Add()
    flow.add_task(first)
    second.set_upstream(first, flow=flow, key="x")
    state = flow.run()
    assert state.result[second].result == 11


def test_importing_headwater_loads_neither_dask_nor_kubernetes() -> None:
    code = (
        "import headwater, sys; print([m for m in ('dask', 'distributed', 'kubernetes', 'kopf') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: one(), FlowError, "outside a flow"),
        (lambda: Flow(""), FlowError, "A name must be provided"),
        (lambda: task(max_retries=2)(lambda: 1), FlowError, "no retry_delay"),
        (lambda: task(retry_delay=timedelta(seconds=1))(lambda: 1), FlowError, "no max_retries"),
        (lambda: task(max_retries=-1)(lambda: 1), FlowError, "0 or more"),
        (lambda: task(lambda *xs: 1), FlowError, r"takes \*xs"),
        (lambda: task(lambda flow: 1), FlowError, "reserved"),
        (lambda: task(sleepy), FlowError, "is an async function"),
        (lambda: Parameter("p", default=float("nan")), FlowError, "cannot be written as JSON"),
        (lambda: task(3), TypeError, "decorates a function"),
        (lambda: Parameter(""), FlowError, "needs a name"),
        (lambda: Parameter("p", default=object()), FlowError, "cannot be written as JSON"),
    ],
)
def test_wrong_tasks_and_flows_say_what_to_do(build, error, words) -> None:
    with pytest.raises(error, match=words):
        build()


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda f: add(), TypeError, 'Task "add" called with arguments that do not fit: missing'),
        (lambda f: add(1, z=2), TypeError, "'z'"),
        (lambda f: add([one()]), TypeError, 'collection that holds the task "one"'),
        (lambda f: list(one()), TypeError, "not iterable"),
        (lambda f: add(one(), upstream_tasks=one()), TypeError, "is a list of tasks"),
        (lambda f: [Parameter("p"), Parameter("p")], FlowError, 'has the parameter "p" already'),
        (lambda f: Parameter("p").set_upstream(one()), FlowError, "cannot run after"),
        (lambda f: f.run(), FlowError, "inside its own `with` block"),
        (lambda f: one(task_args={"nmae": "x"}), AttributeError, 'no attribute "nmae"'),
        (lambda f: f.set_reference_tasks([one]), FlowError, "reference task"),
        (lambda f: f.add_task("x"), TypeError, "is not a task"),
    ],
)
def test_wrong_use_inside_a_flow_says_what_to_do(build, error, words) -> None:
    with pytest.raises(error, match=words), Flow("f") as flow:
        build(flow)


def test_a_cycle_is_named() -> None:
    with Flow("f") as flow:
        a, b = add(1), add(2)
        a.set_upstream(b, key=None)
        b.set_upstream(a, key=None)
    with pytest.raises(CycleError, match=r'"add" -> "add" -> "add"'):
        flow.run()


def test_an_argument_that_nothing_fills_is_named() -> None:
    flow = Flow("f")
    flow.add_task(add.copy())
    with pytest.raises(FlowError, match=r'"add" in flow "f" gets no value for x'):
        flow.run()


def test_parameters_unknown_and_missing() -> None:
    with Flow("f") as flow:
        add(Parameter("airport"), Parameter("radius", default=200))
    with pytest.raises(ParameterError, match="unexpected parameters: airprot; it has airport, radius"):
        flow.run(airprot="ZRH")
    with pytest.raises(ParameterError, match="required parameters: airport"):
        flow.run()
    assert flow.check_parameters({"airport": "ZRH"}) == {"airport": "ZRH", "radius": 200}
