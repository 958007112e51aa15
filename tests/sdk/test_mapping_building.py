"""Mapping as it is written: which edges a flow gets from map, mapped, unmapped, flatten and apply_map."""

from __future__ import annotations

from typing import Any

import pytest

from headwater import Flow, Parameter, apply_map, case, flatten, mapped, resource_manager, tags, task, unmapped
from headwater.control_flow import merge
from headwater.core.collections import Constant, List
from headwater.core.errors import FlowError


@task
def numbers(n: int = 3) -> list[int]:
    return list(range(n))


@task
def add(x: Any, y: Any = 10) -> Any:
    return x + y


@task
def total(xs: list[int]) -> int:
    return sum(xs)


def edges(flow: Flow, to: Any) -> list[tuple[str, str | None, bool, bool]]:
    """What a task gets: from whom, as which argument, mapped or not, flattened or not."""
    return [(e.upstream.name, e.key, e.mapped, e.flattened) for e in flow.edges_to(to)]


# Marks


@pytest.mark.parametrize(
    "call",
    [
        lambda xs, ys: add.map(xs, unmapped(ys)),
        lambda xs, ys: add.map(x=xs, y=unmapped(ys)),
        lambda xs, ys: add(mapped(xs), ys),
        lambda xs, ys: add(x=mapped(xs), y=unmapped(ys)),
        lambda xs, ys: add(xs, unmapped(ys), mapped=True),
        lambda xs, ys: add.copy().bind(xs, unmapped(ys), mapped=True),
    ],
)
def test_there_are_several_ways_to_write_a_map(call: Any) -> None:
    with Flow("f") as flow:
        made = call(numbers(), Parameter("ys"))
    assert edges(flow, made) == [("numbers", "x", True, False), ("ys", "y", False, False)]
    assert flow.is_mapped(made)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda xs: add.map(flatten(xs), [1]), [("numbers", "x", True, True), ("Constant", "y", True, False)]),
        (lambda xs: add(x=mapped(flatten(xs))), [("numbers", "x", True, True)]),
        (lambda xs: add(x=flatten(mapped(xs))), [("numbers", "x", True, True)]),
        (lambda xs: add(x=flatten(xs)), [("numbers", "x", False, True)]),
        (lambda xs: add.map(xs, unmapped(flatten(xs))), [("numbers", "x", True, False), ("numbers", "y", False, True)]),
        (lambda xs: add.map([xs, [1]]), [("List", "x", True, False)]),
        (lambda xs: add(flatten([[1], [2]])), [("Constant", "x", False, True)]),
        (lambda xs: numbers.map(upstream_tasks=[xs]), [("numbers", None, True, False)]),
        (
            lambda xs: add.map(xs, upstream_tasks=[unmapped(xs)]),
            [("numbers", "x", True, False), ("numbers", None, False, False)],
        ),
        (
            lambda xs: add(5, upstream_tasks=[mapped(xs), flatten(xs)]),
            [("numbers", None, True, False), ("numbers", None, False, True)],
        ),
    ],
)
def test_marks_stand_in_each_other(call: Any, expected: Any) -> None:
    with Flow("f") as flow:
        made = call(numbers())
    assert edges(flow, made) == expected


def test_a_constant_that_is_mapped_over_is_a_task_and_one_that_is_not_stays_one() -> None:
    with Flow("f") as flow:
        made = add.map([1, 2, 3], unmapped([4]))
    (constant,) = flow.get_tasks(task_type=Constant)
    assert (constant.auto_generated, constant.run()) == (True, [1, 2, 3])
    assert flow.constants == {made: {"y": [4]}}


def test_what_has_items_can_be_mapped_over() -> None:
    with Flow("f") as flow:
        found = [add.map(range(2), unmapped(1)), add.map((0, 1), unmapped(1)), add.map(Parameter("p"), unmapped(1))]
    state = flow.run(p=[0, 1])
    assert [state.result[made].result for made in found] == [[1, 2]] * 3


@pytest.mark.parametrize("value", [5, "abc", b"abc", None, {"a": 1}, {1, 2}, (n for n in (1, 2)), dict])
def test_a_constant_without_items_is_not_mapped_over(value: Any) -> None:
    words = r'"add": argument "y" is to be mapped over .*, which is no list; write unmapped\(...\) around'
    with Flow("f"), pytest.raises(TypeError, match=words):
        add.map([1], value)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: add.map(unmapped(numbers())), FlowError, 'Task "add" is mapped over nothing'),
        (lambda: numbers.map(), FlowError, "is mapped over nothing"),
        (lambda: add(unmapped(mapped(1))), TypeError, r'argument "x" is marked mapped\(\) and unmapped\(\) at once'),
        (lambda: add(flatten(flatten([[1]]))), TypeError, r"flatten\(\) in flatten\(\)"),
        (lambda: Parameter("p").map([1]), TypeError, "map a task over it"),
        (lambda: add.map([1], z=2), TypeError, "'z'"),
    ],
)
def test_wrong_maps_say_what_to_do(build: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words), Flow("f"):
        build()


def test_maps_are_built_by_hand() -> None:
    flow = Flow("f")
    xs, ys, zs = numbers.copy(), add.copy(), add.copy()
    flow.add_edge(xs, ys, key="x", mapped=True)
    ys.set_downstream(zs, flow=flow, key="x", mapped=True)
    zs.set_upstream(flatten(xs), flow=flow, mapped=True)
    assert edges(flow, ys) == [("numbers", "x", True, False)]
    assert edges(flow, zs) == [("add", "x", True, False), ("numbers", None, True, True)]
    ys.set_dependencies(flow, keyword_tasks={"y": [1]}, mapped=True)
    assert edges(flow, ys)[1] == ("Constant", "y", True, False)


def test_collections_of_mapped_tasks_hold_whole_results() -> None:
    with Flow("f") as flow:
        made = add.map([1, 2])
        gathered = total(flatten([made, [5]]))
    assert not flow.is_mapped(flow.get_tasks(task_type=List)[0])
    assert flow.run().result[gathered].result == 28


# apply_map


def run(flow: Flow, *tasks: Any, **parameters: Any) -> Any:
    state = flow.run(parameters)
    found = [state.result[made].result for made in tasks]
    return found[0] if len(found) == 1 else found


def test_a_function_that_adds_tasks_is_mapped() -> None:
    def both(x: Any, y: Any) -> Any:
        a = add(x, y)
        return a, {"twice": add(a, a)}

    with Flow("f") as flow:
        xs = numbers(3)
        a, more = apply_map(both, xs, y=unmapped(Parameter("y")))
        last = total(more["twice"])
    assert edges(flow, a) == [("numbers", "x", True, False), ("y", "y", False, False)]
    assert edges(flow, more["twice"]) == [("add", "x", True, False), ("add", "y", True, False)]
    assert run(flow, a, last, y=1) == [[1, 2, 3], 12]


def test_constants_are_constants_for_every_item() -> None:
    def scaled(x: Any, factor: Any, lists: Any) -> Any:
        assert isinstance(factor, type(x)), "operators work on it"
        return add(x * factor, add(lists, [factor]))

    with Flow("f") as flow:
        apply_map(scaled, [1, 2], unmapped(10), unmapped([5]))
    (product,) = flow.get_tasks(name="Mul")
    assert flow.constants[product] == {"y": 10}
    assert len(flow.get_tasks(task_type=Constant)) == 1


def test_branches_inside_are_taken_item_by_item() -> None:
    def branch(x: Any, other: Any) -> Any:
        with case(x > 1, True):
            large = add(x, 100)
        with case(x > 1, False):
            small = add(other, 0)  # depends on no item
        return merge(large, small)

    with Flow("f") as flow:
        made = apply_map(branch, numbers(4), unmapped(-1))
    assert run(flow, made) == [-1, -1, 102, 103]


def test_resources_inside_are_there_for_each_item() -> None:
    cleaned = []

    @resource_manager
    class Room:
        def __init__(self, number: int) -> None:
            self.number = number

        def setup(self) -> str:
            return f"room {self.number}"

        def cleanup(self, room: str) -> None:
            cleaned.append(room)

    def visit(x: Any) -> Any:
        with Room(x) as room:
            return add(room, "!")

    with Flow("f") as flow:
        made = apply_map(visit, numbers(2))
    assert run(flow, made) == ["room 0!", "room 1!"]
    assert cleaned == ["room 0", "room 1"]


def test_tasks_inside_that_depend_on_no_item_run_for_each() -> None:
    def lonely(x: Any) -> Any:
        first = numbers(1)
        return first | add(5, 5)

    with Flow("f") as flow:
        made = apply_map(lonely, flatten([[1, 2], [3]]))
    assert run(flow, made) == [10, 10, 10]
    (first,) = flow.get_tasks(name="numbers")
    assert edges(flow, first) == [("Constant", None, True, True)]


def test_tasks_of_the_flow_may_be_used_inside_as_they_are() -> None:
    with Flow("f") as flow:
        outer = numbers(2)
        choice = add("a", "")
        with case(choice, "b"):
            skipped = apply_map(lambda x: add(outer, [x]), [7])
        with case(choice, "a"):
            made = apply_map(lambda x: add(outer, [x]), [7, 8])
    assert run(flow, made) == [[0, 1, 7], [0, 1, 8]]
    assert edges(flow, outer) == []
    assert flow.run().result[skipped].is_skipped()


def test_a_used_task_of_the_flow_joins_no_branch_inside() -> None:
    def branch(x: Any) -> Any:
        with case(x, 1):
            return add(outer, 1)

    with Flow("f") as flow:
        outer = add(1, 1)
        made = apply_map(branch, [1, 2])
    assert edges(flow, outer) == []
    assert run(flow, made) == [3, None]


def test_parameters_and_tags_reach_the_tasks_inside() -> None:
    with Flow("f") as flow, tags("t"):
        made = apply_map(lambda x: add(x, Parameter("p", default=1)), [1, 2])
    assert made.tags == {"t"}
    assert edges(flow, made)[1] == ("p", "y", False, False)
    assert run(flow, made) == [2, 3]


def test_arguments_that_are_returned_are_what_they_were() -> None:
    with Flow("f"):
        xs = numbers(2)
        returned = apply_map(lambda a, b, c: [a, (b,), c], xs, unmapped(5), unmapped(xs))
        assert returned == [xs, (5,), xs]
        assert isinstance(apply_map(lambda a: a, flatten([[1]])), flatten)


def test_mapped_pairs_are_unpacked_inside() -> None:
    @task(nout=2)
    def pair(x: int) -> tuple[int, int]:
        return x, x + 1

    def inside(both: Any) -> Any:
        a, b = both
        return add(a, b)

    with Flow("f") as flow:
        made = apply_map(inside, pair.map([1, 2]))
    assert run(flow, made) == [3, 5]


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: apply_map(lambda x: add.map(x), [[1]]), FlowError, '"add" is mapped inside the function'),
        (lambda: apply_map(lambda x: add(flatten(x)), [[1]]), FlowError, r"flatten\(Constant\) stands inside"),
        (
            lambda: apply_map(lambda x: x.set_upstream(add(1)), [1]),
            FlowError,
            'argument "Constant" cannot run after "add"',
        ),
        (lambda: apply_map(lambda x: x, unmapped([1])), FlowError, "is mapped over nothing"),
        (lambda: apply_map(lambda x: x, 5), TypeError, r"apply_map\(<lambda>\): argument 1 is to be mapped over 5"),
        (lambda: apply_map(5, [1]), TypeError, "maps over a function"),
    ],
)
def test_wrong_use_of_apply_map_says_what_to_do(build: Any, error: type[Exception], words: str) -> None:
    with Flow("f") as flow, pytest.raises(error, match=words):
        build()
    assert flow.edges == []


def test_apply_map_needs_a_flow() -> None:
    with pytest.raises(FlowError, match="apply_map was used outside a flow"):
        apply_map(lambda x: x, [1])
    flow = Flow("f")
    made = apply_map(lambda x: add(x, 1), [1], flow=flow)
    assert run(flow, made) == [2]
