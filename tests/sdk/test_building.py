"""What is written in a flow becomes tasks: operators, collections, tags, options of tasks."""

from __future__ import annotations

import operator
import typing
from collections import namedtuple
from datetime import timedelta
from typing import Any

import pytest

from headwater import Flow, Parameter, Task, tags, task, triggers
from headwater.core.attributes import defaults_from_attrs
from headwater.core.collections import Constant, Dict, List
from headwater.core.errors import FlowError
from headwater.core.operators import GetAttr, GetItem

SECOND = timedelta(seconds=1)
Point = namedtuple("Point", ["x", "y"])


@task
def give(x: Any) -> Any:
    return x


@task
def pair() -> tuple[int, str]:
    return 1, "one"


def value_of(build: Any, **parameters: Any) -> Any:
    """Build a flow of one expression, run it, and return what the expression came to."""
    with Flow("f") as flow:
        made = give(build())
    state = flow.run(parameters)
    assert state.is_successful(), state.result
    return state.result[made].result


# Operators


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (lambda t: t + 2, 9),
        (lambda t: 2 + t, 9),
        (lambda t: t - 2, 5),
        (lambda t: 2 - t, -5),
        (lambda t: t * 2, 14),
        (lambda t: 2 * t, 14),
        (lambda t: t / 2, 3.5),
        (lambda t: 14 / t, 2.0),
        (lambda t: t // 2, 3),
        (lambda t: 15 // t, 2),
        (lambda t: t % 4, 3),
        (lambda t: 10 % t, 3),
        (lambda t: t**2, 49),
        (lambda t: 2**t, 128),
        (lambda t: t & 0, False),
        (lambda t: 1 & t, True),
        (lambda t: t > 6, True),
        (lambda t: operator.gt(7, t), False),
        (lambda t: t >= 7, True),
        (lambda t: t < 7, False),
        (lambda t: t <= 6, False),
        (lambda t: t.is_equal(7), True),
        (lambda t: t.is_not_equal(7), False),
        (lambda t: t.not_(), False),
        (lambda t: (t - 7).or_(0), False),
        (lambda t: t + t * t, 56),
    ],
)
def test_operators_make_tasks(expression: Any, expected: Any) -> None:
    found = value_of(lambda: expression(Parameter("t")), t=7)
    assert (found, type(found)) == (expected, type(expected))


def test_results_are_indexed() -> None:
    rows = {"a": [1, 2, 3]}
    assert value_of(lambda: give(rows)["a"][0]) == 1
    assert value_of(lambda: give(rows)["a"][1:]) == [2, 3]
    assert value_of(lambda: give(rows)[Parameter("key")], key="a") == [1, 2, 3]
    assert value_of(lambda: GetAttr()(give(Point(1, Point(2, 3))), "y.x")) == 2
    assert value_of(lambda: GetAttr()(give(1), "nothing", default="none")) == "none"


def test_items_are_named_as_they_are_written() -> None:
    with Flow("f") as flow:
        rows = give({})
        rows["airport"]
        rows[0]
        rows[Parameter("key")]
        rows["x" * 100]
    names = [item.name for item in flow.get_tasks(task_type=GetItem)]
    assert names[:3] == ["give['airport']", "give[0]", "give[key]"]
    assert len(names[3]) == 40


def test_equality_and_hash_stay_those_of_the_object() -> None:
    with Flow("f") as flow:
        a, b = give(1), give(1)
        assert a != b
        assert len({a, b}) == 2
        assert a in [b, a]
    assert len(flow.tasks) == 2


def test_a_bar_puts_tasks_in_order_and_hands_over_nothing() -> None:
    with Flow("f") as flow:
        a, b, c = give(1), give(2), give(3)
        assert (a | b | c) is c
        last = give(4)
        assert ([a, c] | last) is last
        with pytest.raises(TypeError, match=r"puts one task after another; 5 is none"):
            a | 5
    assert [(e.upstream, e.downstream, e.key) for e in flow.edges][:2] == [(a, b, None), (b, c, None)]
    assert flow.upstream_tasks(flow.upstream_tasks(last)[0]) == [a, c]


def test_pipes_read_from_left_to_right() -> None:
    @task
    def power(x: int, y: int) -> int:
        return x**y

    assert value_of(lambda: give(2).pipe(power, y=3).pipe(power, y=2)) == 64


def test_a_task_in_a_text_is_warned_of_where_its_result_was_meant() -> None:
    assert f"{give}" == '<Task "give">'
    with Flow("f"), pytest.warns(UserWarning, match='Task "day" stands in a text'):
        give(f"flights of {Parameter('day')}")


# Unpacking


def test_a_task_that_says_how_many_values_it_returns_is_unpacked() -> None:
    def build() -> Any:
        number, word = pair()
        return [word, number]

    assert value_of(build) == ["one", 1]


@pytest.mark.parametrize(
    ("annotation", "nout"),
    [
        ("tuple[int, str]", 2),
        ("typing.Tuple[int, str, float]", 3),
        ("tuple[int]", 1),
        ("tuple[()]", 0),
        ("tuple[int, ...]", None),
        ("tuple", None),
        ("typing.Tuple", None),
        ("list[int]", None),
        ("Unknown", None),
        (tuple[int, str], 2),
        (typing.Tuple[int, str], 2),  # noqa: UP006
        (None, None),
    ],
)
def test_nout_is_read_from_the_annotation(annotation: Any, nout: int | None) -> None:
    def split() -> Any: ...

    split.__annotations__ = {"return": annotation}
    assert task(split).nout == nout
    assert task(nout=5)(split).nout == 5


def test_the_annotation_of_a_class_and_of_a_local_name_counts() -> None:
    local = tuple[int, int, int]

    class Split(Task):
        def run(self) -> local:  # type: ignore[valid-type]
            return (1, 2, local)

    assert Split().nout == 3


def test_a_mapped_task_is_unpacked_child_by_child() -> None:
    @task
    def halves(x: int) -> tuple[int, int]:
        return x, -x

    def build() -> Any:
        left, right = halves.map([1, 2, 3])
        return [left, right]

    assert value_of(build) == [[1, 2, 3], [-1, -2, -3]]


def test_unpacking_without_knowing_says_what_to_do() -> None:
    with Flow("f"), pytest.raises(TypeError, match=r"@task\(nout=2\) or `-> tuple\[int, str\]`"):
        _, _ = give(1)


# Collections


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda a, b: [a, b, 3], [1, 2, 3]),
        (lambda a, b: (a, [b, {"k": (a,)}]), (1, [2, {"k": (1,)}])),
        (lambda a, b: {a, b, 3}, {1, 2, 3}),
        (lambda a, b: {frozenset([a, 7]), 3}, {frozenset([1, 7]), 3}),
        (lambda a, b: {"x": a, b: "y", "z": 3}, {"x": 1, 2: "y", "z": 3}),
        (lambda a, b: Point(a, b), Point(1, 2)),
        (lambda a, b: [[[]], [[a]]], [[[]], [[1]]]),
        (lambda a, b: [a] * 12, [1] * 12),
        (lambda a, b: List()(a, 2), [1, 2]),
        (lambda a, b: Dict()(keys=["k"], values=[b]), {"k": 2}),
        (lambda a, b: Constant([1])(), [1]),
    ],
)
def test_collections_that_hold_tasks_are_gathered(build: Any, expected: Any) -> None:
    found = value_of(lambda: build(give(1), give(2)))
    assert (found, type(found)) == (expected, type(expected))


def test_what_holds_no_task_stays_a_constant() -> None:
    value: list[Any] = [1, {"a": (2,)}]
    value.append(value)
    with Flow("f") as flow:
        made = give(value)
        gathered = give([give(1), [2, 3]])
    assert flow.constants[made]["x"] is value
    holder = flow.upstream_tasks(gathered)[0]
    assert (type(holder), holder.auto_generated, holder.checkpoint) == (List, True, False)
    assert flow.constants[holder] == {"1": [2, 3]}
    assert len(flow.tasks) == 4


def test_a_collection_of_any_depth_is_gathered() -> None:
    with Flow("f") as flow:
        value = [give(1)]
        for _ in range(2000):
            value = [value]
        last = give(value)
    found = flow.run().result[last].result
    for _ in range(2001):
        (found,) = found
    assert found == 1


def test_a_collection_that_is_handed_over_twice_is_gathered_once_per_call() -> None:
    with Flow("f") as flow:
        shared = [give(1)]
        give([shared, {"again": shared}])
    assert len(flow.get_tasks(task_type=List)) == 3  # the shared one, the outer one, the values of the dict


def test_sets_are_gathered_in_the_order_of_definition() -> None:
    def edges() -> list[str]:
        with Flow("f") as flow:
            give({give(i, task_args={"name": f"t{i}"}) for i in range(20)})
        return [edge.upstream.name for edge in flow.edges if edge.key is not None and edge.upstream.name[0] == "t"]

    assert edges() == [f"t{i}" for i in range(20)]


def test_collections_that_cannot_be_gathered_are_refused() -> None:
    from headwater import mapped

    circular: list[Any] = []
    with Flow("f"):
        circular += [give(1), circular]
        with pytest.raises(TypeError, match="contains itself"):
            give(circular)
        with pytest.raises(TypeError, match="stands inside a collection; mark the whole argument"):
            give([mapped(give(1))])
        with pytest.raises(TypeError, match="x has a name"):
            List()(x=1)


# Tags and slugs


def test_tags_come_from_options_blocks_and_calls() -> None:
    tagged = task(lambda: 1, name="t", tags=["own"])
    with Flow("f"), tags("a", "b"), tags("c"):
        called = tagged()
        made = task(lambda: 1)
        made()
    assert called.tags == {"own", "a", "b", "c"}
    assert made.tags == {"a", "b", "c"}
    assert tagged.tags == {"own"}


@pytest.mark.parametrize("wrong", ["nightly", 3, [3], [""]])
def test_tags_that_are_no_list_of_texts_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="tag"):
        task(lambda: 1, tags=wrong)


def test_slugs_count_from_one_per_name_and_tags() -> None:
    with Flow("f") as flow:
        for name, labels in [("a", ""), ("a", ""), ("a", "yx"), ("a-1", ""), ("a", "x"), ("b", "")]:
            give(1, task_args={"name": name, "tags": list(labels)})
        give(1, task_args={"slug": "b-2"})
        give(1, task_args={"name": "b"})
        Parameter("any text at all")
    assert list(flow.slugs.values()) == [
        "a-1", "a-2", "a-x-y-1", "a-1-1", "a-x-1", "b-1", "b-2", "b-3", "any text at all"
    ]  # fmt: skip


def test_a_slug_that_is_assigned_twice_is_found() -> None:
    with Flow("f") as flow:
        give(1).slug = "x"
        give(2).slug = "x"
    with pytest.raises(FlowError, match='Flow "f" has the slug "x" already'):
        flow.validate()


# Options


@pytest.mark.parametrize(
    ("option", "given", "kept"),
    [
        ("max_retries", None, 0),
        ("retry_delay", [SECOND, 2 * SECOND], (SECOND, 2 * SECOND)),
        ("retry_delay", SECOND, SECOND),
        ("retry_jitter", 1, 1.0),
        ("retry_on", OSError, (OSError,)),
        ("retry_on", {OSError}, (OSError,)),
        ("retry_on", [], None),
        ("timeout", 3, 3.0),
        ("timeout", 2 * SECOND, 2.0),
        ("trigger", None, triggers.all_successful),
        ("tags", ("a",), {"a"}),
        ("state_handlers", (print,), [print]),
        ("nout", 2, 2),
        ("checkpoint", False, False),
        ("task_run_name", "{x}", "{x}"),
        ("cache_for", SECOND, SECOND),
    ],
)
def test_options_are_kept_however_they_are_given(option: str, given: Any, kept: Any) -> None:
    retries = {"max_retries": 1, "retry_delay": SECOND} if option.startswith("retry") else {}
    made = task(lambda: 1, **{**retries, option: given})
    assigned = task(lambda: 1, **retries)
    setattr(assigned, option, given)
    with Flow("f"):
        called = task(lambda: 1, **retries)(task_args={option: given})
    assert [getattr(t, option) for t in (made, assigned, called)] == [kept] * 3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_retries": "3"}, TypeError, "max_retries is '3'; give a whole number"),
        ({"max_retries": True}, TypeError, "give a whole number"),
        ({"max_retries": 1, "retry_delay": 10}, TypeError, "retry_delay is 10; give a timedelta"),
        ({"max_retries": 1, "retry_delay": -SECOND}, FlowError, "retry_delay is negative"),
        ({"max_retries": 1, "retry_delay": []}, FlowError, "give a timedelta per attempt"),
        ({"max_retries": 1, "retry_delay": SECOND, "retry_jitter": 2}, FlowError, "from 0 to 1"),
        ({"max_retries": 1, "retry_delay": SECOND, "retry_on": "OSError"}, TypeError, "give exception types"),
        ({"max_retries": 1, "retry_delay": SECOND, "retry_condition": 5}, TypeError, "give a function"),
        ({"retry_on": OSError}, FlowError, "has a retry_on but no max_retries"),
        ({"retry_jitter": 0.5}, FlowError, "has a retry_jitter but no max_retries"),
        ({"timeout": 0}, FlowError, "more than zero seconds"),
        ({"timeout": "1m"}, TypeError, "give seconds or a timedelta"),
        ({"trigger": "all_failed"}, TypeError, "trigger is 'all_failed'; give a function"),
        ({"cache_for": 60}, TypeError, "give a timedelta"),
        ({"checkpoint": "yes"}, TypeError, "give True or False"),
        ({"state_handlers": print}, TypeError, "give a list of functions"),
        ({"state_handlers": [1]}, TypeError, "an item of .* is 1; give a function"),
        ({"nout": -1}, FlowError, "0 or more"),
        ({"task_run_name": 1}, TypeError, "give a text such as '{x}-{today}'"),
        ({"log_stdout": 1}, TypeError, 'Task "t": log_stdout is 1; give True or False'),
        ({"name": 5}, TypeError, "name is 5; give a text"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        task(**{"name": "t", **options})(lambda: 1)


def test_options_are_refused_when_they_are_assigned_too() -> None:
    with Flow("f") as flow:
        made = give(1)
    with pytest.raises(FlowError, match='Task "give": timeout is -1'):
        made.timeout = -1
    made.max_retries = 3
    with pytest.raises(FlowError, match='"give" in flow "f" has max_retries=3 but no retry_delay'):
        flow.validate()
    made.retry_delay = SECOND
    flow.validate()
    with flow, pytest.raises(FlowError, match="no retry_delay"):
        give(1, task_args={"max_retries": 1})


def test_retries_can_be_turned_off_for_a_call() -> None:
    patient = task(lambda: 1, max_retries=3, retry_delay=SECOND)
    with Flow("f") as flow:
        assert patient(task_args={"max_retries": 0}).max_retries == 0
    flow.validate()


def test_a_copy_shares_nothing_that_can_change() -> None:
    copied = give.copy(name="other")
    copied.tags.add("x")
    copied.state_handlers.append(print)
    assert (give.tags, give.state_handlers, give.name) == (set(), [], "give")
    assert copied.logger.name == "headwater.other"


def test_async_functions_and_generators_are_tasks() -> None:
    async def wait(x: int) -> int:
        return x

    assert value_of(lambda: task(wait)(5)) == 5
    assert task(lambda: (yield 1)).nout is None


def test_inputs_and_outputs_are_told() -> None:
    @task
    def load(rows: list[int], url: str = "", *, more=1, **others: Any) -> tuple[int, str]: ...  # type: ignore[no-untyped-def]

    assert load.inputs() == {
        "rows": {"required": True, "type": list[int]},
        "url": {"required": False, "type": str},
        "more": {"required": False, "type": Any},
        "others": {"required": False, "type": Any},
    }
    assert load.outputs() == tuple[int, str]
    assert task(lambda: 1).outputs() is Any


def test_arguments_of_run_are_taken_from_attributes() -> None:
    class Shell(Task):
        def __init__(self, command: str | None = None, **options: Any) -> None:
            self.command = command
            super().__init__(**options)

        @defaults_from_attrs("command")
        def run(self, command: str | None = None, suffix: str = "") -> str:
            return f"{command}{suffix}"

    assert Shell("ls").run(suffix=" -l") == "ls -l"
    assert value_of(lambda: Shell("ls")(command="ps")) == "ps"
    with pytest.raises(TypeError, match="has no argument script"):
        defaults_from_attrs("script")(Shell.run)
