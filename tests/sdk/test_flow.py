"""Building flows: calls, dependencies, and every error that says what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, Parameter, Task, task
from headwater.core.errors import CycleError, FlowError, ParameterError
from headwater.core.graph import Edge


@task
def one() -> int:
    return 1


@task
def add(x: int, y: int = 10) -> int:
    return x + y


async def endless() -> Any:
    yield 1


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
    heavy = ("dask", "distributed", "kubernetes", "kopf", "pydantic", "fsspec", "pandas", "numpy", "asyncio")
    code = f"import headwater, sys; print([m for m in {heavy} if m in sys.modules])"
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
        (lambda: task(endless), FlowError, "is an async generator"),
        (lambda: task(len, name="a", retires=1), TypeError, 'Task "a" is given retires; a task has no such option'),
        (lambda: Flow("f", state_handlers=print), TypeError, "give a list of functions"),
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
        (lambda f: f.edges_to(one), FlowError, 'Flow "f" has no task <Task "one">'),
        (lambda f: f.replace(one, one()), FlowError, 'no task "one" to be replaced'),
        (lambda f: f.add_edge(one(), Parameter("p")), FlowError, "cannot run after"),
        (
            lambda f: one(task_args={"slug": "x"}) and one(task_args={"slug": "x"}),
            FlowError,
            'has the slug "x" already',
        ),
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


# Building without calls


def test_edges_chains_and_dependencies_are_built_by_hand() -> None:
    flow = Flow("f")
    a, b, c = one.copy(), add.copy(), add.copy()
    flow.add_edge(a, b, key="x", validate=True)
    flow.set_dependencies(c, upstream_tasks=[a], keyword_tasks={"x": b, "y": 3}, downstream_tasks=[d := one.copy()])
    flow.chain(d, e := one.copy())
    assert [(e.upstream, e.downstream, e.key) for e in flow.edges] == [
        (a, b, "x"), (b, c, "x"), (a, c, None), (c, d, None), (d, e, None)
    ]  # fmt: skip
    assert flow.constants == {c: {"y": 3}}
    with pytest.raises(CycleError):
        flow.add_edge(e, a, validate=True)


def test_an_edge_is_there_once_and_an_argument_is_given_once() -> None:
    with Flow("f") as flow:
        a = one()
        b = add(a)
        b.set_upstream(a, key="x")
        b.set_upstream(a)
        b.set_upstream(a)
    assert [(e.upstream, e.key) for e in flow.edges_to(b)] == [(a, "x"), (a, None)]
    with pytest.raises(FlowError, match=r'"add" has its argument "x" already'):
        flow.add_edge(one.copy(), b, key="x")


def test_a_flow_can_be_made_of_tasks_and_edges() -> None:
    a, b = one.copy(), add.copy()
    flow = Flow("f", tasks=[a], edges=[Edge(a, b, "x")], reference_tasks=[a], validate=True)
    assert flow.tasks == [a, b]
    assert flow.reference_tasks() == [a]


def test_a_flow_is_looked_at() -> None:
    with Flow("f") as flow:
        p = Parameter("p", default=1)
        a = one(task_args={"tags": ["x", "y"]})
        b = add(a, p)
        c = add(b, b)
        d = one()
    assert flow.root_tasks() == [p, a, d]
    assert flow.terminal_tasks() == flow.reference_tasks() == [c, d]
    assert flow.upstream_tasks(b) == [a, p]
    assert flow.upstream_tasks(c) == [b]
    assert flow.downstream_tasks(a) == [b]
    assert flow.sorted_tasks(root_tasks=[b]) == [b, c]
    assert sorted(flow, key=flow.place_of) == flow.tasks
    assert flow.get_tasks(name="add") == [b, c]
    assert flow.get_tasks(slug="add-2") == [c]
    assert flow.get_tasks(tags=["x"]) == flow.get_tasks(tags=["y", "x"], name="one") == [a]
    assert flow.get_tasks(tags=["x", "z"]) == []
    assert flow.get_tasks(task_type=Parameter) == flow.parameters() == [p]
    assert flow.all_upstream_edges()[c] == flow.edges_to(c) == flow.edges_from(b)
    assert a in flow
    assert one not in flow


def test_a_replaced_task_hands_over_its_place_its_edges_and_its_constants() -> None:
    with Flow("f") as flow:
        a = one()
        b = add(a, 5)
        c = add(b)
    flow.set_reference_tasks([b])
    new = add.copy(name="new")
    flow.replace(b, new)
    assert flow.tasks == [a, new, c]
    assert flow.edges == [Edge(a, new, "x"), Edge(new, c, "x")]
    assert flow.constants == {new: {"y": 5}}
    assert flow.reference_tasks() == [new]
    assert flow.run().result[c].result == 16
    flow.replace(a, 100)
    assert flow.run().result[c].result == 115


def test_a_flow_takes_over_another() -> None:
    with Flow("other") as other:
        a = add(Parameter("p", default=1), 5)
    with Flow("f") as flow:
        p = Parameter("p", default=2)
        b = add(p)
    with pytest.raises(FlowError, match='has the parameter "p" already'):
        flow.copy().update(other)
    flow.update(other, merge_parameters=True, merge_reference_tasks=True)
    assert flow.tasks == [p, b, a]
    assert flow.upstream_tasks(a) == [p]
    assert flow.reference_tasks() == [b, a]
    assert flow.run().result[a].result == 7
    flow.update(flow.copy())  # what is there stays as it is
    assert flow.tasks == [p, b, a]


def test_a_copy_is_equal_until_it_changes() -> None:
    with Flow("f") as flow:
        one()
    copied = flow.copy()
    assert copied == flow
    assert copied.tasks[0] is flow.tasks[0]
    copied.add_task(one.copy())
    assert copied != flow
    assert len(flow.tasks) == 1
    assert len({flow, copied}) == 2


def test_tasks_that_were_made_and_forgotten_are_named() -> None:
    class Add(Task):
        def run(self, x: int) -> int:
            return x

    def build() -> None:
        with Flow("f"):
            Add()
            task(lambda: 1, name="lost")
            used = task(lambda: 1, name="used")
            used()
            Add(name="bound").bind(1)

    with pytest.warns(UserWarning, match=r'not added to the flow: "Add", "lost"\. Call them'):
        build()


def test_a_task_in_a_constructor_is_warned_of() -> None:
    class Keep(Task):
        def __init__(self, x: Any) -> None:
            super().__init__()

    with pytest.warns(UserWarning, match='Task "one" is given to the constructor of Keep'):
        Keep(one)


def test_ten_thousand_tasks_are_built_and_looked_at_in_a_moment() -> None:
    with Flow("wide") as flow:
        first = one()
        for _ in range(5000):
            add(add(first, 1))
    # Linear work is done in half a second; work per pair of tasks would take minutes.
    began = time.process_time()
    flow.validate()
    assert len(set(flow.slugs.values())) == len(flow.sorted_tasks()) == 10_001
    assert len(flow.get_tasks(name="add")) == 10_000
    assert sum(len(flow.upstream_tasks(task)) + len(flow.edges_from(task)) for task in flow.tasks) == 20_000
    assert len(flow.copy().terminal_tasks()) == len(flow.reference_tasks()) == 5000
    assert time.process_time() - began < 10


def test_a_flow_is_written_as_json_without_its_code() -> None:
    def build(run: Any) -> Flow:
        with Flow("f") as flow:
            task(run, name="t", tags=["b", "a"]).map(Parameter("p", default=[1]))
        return flow

    flow = build(lambda x: 1)
    serialized = flow.serialize()
    assert [task["slug"] for task in serialized["tasks"]] == ["p", "t-a-b-1"]
    assert serialized["edges"] == [
        {"upstream": "p", "downstream": "t-a-b-1", "key": "x", "mapped": True, "flattened": False}
    ]
    assert serialized["reference_tasks"] == ["t-a-b-1"]
    assert flow.serialized_hash() == build(lambda x: 2).serialized_hash()
    flow.tasks[1].name = "u"
    assert flow.serialized_hash() != build(lambda x: 1).serialized_hash()


def test_a_flow_is_saved_and_loaded_with_its_code(tmp_path: Path) -> None:
    with Flow("f") as flow:
        total = add(one(), 4)
    loaded = Flow.load(flow.save(tmp_path / "deep" / "f.flow"))
    assert loaded.slugs[loaded.get_tasks(slug=flow.slugs[total])[0]] == "add-1"
    assert [state.result for state in loaded.run().result.values()] == [1, 5]


def test_what_a_flow_is_given_is_an_attribute_of_it() -> None:
    def handler(flow: Flow, old: Any, new: Any) -> None: ...

    flow = Flow("f", schedule=1, run_config=2, storage=3, result=4, state_handlers=[handler], on_failure=handler)
    assert (flow.schedule, flow.run_config, flow.storage, flow.result) == (1, 2, 3, 4)
    assert (flow.state_handlers, flow.on_failure, flow.terminal_state_handler) == ([handler], handler, None)


def test_parameters_called_like_arguments_of_run_are_given_as_a_mapping() -> None:
    with Flow("f") as flow:
        total = add(Parameter("state"), Parameter("context"))
    assert flow.run({"state": 1, "context": 2}).result[total].result == 3
