"""Branches and resources: which tasks wait for which, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from headwater import Flow, Parameter, case, resource_manager, task
from headwater.control_flow import FilterTask, ifelse, merge, switch
from headwater.core.errors import FlowError
from headwater.triggers import all_finished


@task
def say(x: Any) -> Any:
    return x


@task
def join(x: Any, y: Any) -> str:
    return f"{x}{y}"


@task
def fail() -> None:
    raise ValueError("on purpose")


def states(flow: Flow, **parameters: Any) -> dict[str, str]:
    """The state of every task by its name."""
    return {made.name: state.name for made, state in flow.run(parameters).result.items()}


def upstream(flow: Flow, made: Any) -> list[str]:
    return [edge.upstream.name for edge in flow.edges_to(made)]


def named(name: str) -> dict[str, str]:
    return {"name": name}


# case


def test_a_branch_is_taken_or_skipped_whole() -> None:
    with Flow("f") as flow:
        choice = Parameter("choice")
        before = say(1)
        with case(choice, "a"):
            a = say(before, task_args=named("a"))
            a2 = join(a, Parameter("late", default=0), task_args=named("a2"))
        with case(choice, "b"):
            b = say(2, task_args=named("b"))
        say(merge(a2, b), task_args=named("after"))
    assert upstream(flow, a) == ["say", "case('a')"]
    assert upstream(flow, a2) == ["a", "late"]
    taken = states(flow, choice="b")
    assert [taken[name] for name in ("say", "a", "a2", "b", "Merge", "after")] == [
        "Success", "Skipped", "Skipped", "Success", "Success", "Success"
    ]  # fmt: skip
    assert states(flow, choice="c")["after"] == "Skipped"


def test_branches_stand_in_each_other() -> None:
    with Flow("f") as flow:
        x, y = Parameter("x"), Parameter("y")
        with case(x, 1):
            with case(y, 1):
                say(1, task_args=named("both"))
            say(1, task_args=named("first"))
    found = {(i, j): states(flow, x=i, y=j) for i in (0, 1) for j in (0, 1)}
    assert {key: (taken["both"], taken["first"]) for key, taken in found.items()} == {
        (0, 0): ("Skipped", "Skipped"),
        (0, 1): ("Skipped", "Skipped"),
        (1, 0): ("Skipped", "Success"),
        (1, 1): ("Success", "Success"),
    }


def test_a_flow_inside_a_branch_has_nothing_to_do_with_it() -> None:
    with Flow("outer") as outer, case(Parameter("x"), 1):
        with Flow("inner") as inner:
            alone = say(1)
        say(2)
    assert inner.edges == []
    assert alone not in outer
    assert len(outer.edges) == 2


@pytest.mark.parametrize("choice", ["a", "b"])
def test_a_task_that_is_not_skipped_with_its_upstream_keeps_to_its_branch(choice: str) -> None:
    with Flow("f") as flow:
        given = say(1)
        skipped = say(2, task_args=named("skipped"))
        with case(Parameter("choice"), "never"):
            nothing = say(0, task_args=named("nothing"))
        with case(Parameter("choice2", default=choice), "a"):
            say(merge(given, skipped), task_args=named("merged"))
            say(merge(nothing, nothing), task_args=named("unmerged"))
            FilterTask(name="filtered")([given])
            task(lambda: 1, name="always", trigger=all_finished, skip_on_upstream_skip=False)()
    found = states(flow, choice="x")
    expected = "Success" if choice == "a" else "Skipped"
    assert [found[name] for name in ("merged", "filtered", "always")] == [expected] * 3
    assert found["unmerged"] == "Skipped"


def test_an_empty_branch_adds_nothing() -> None:
    with Flow("f") as flow, case(Parameter("x"), 1):
        Parameter("y")
    assert [made.name for made in flow.tasks] == ["x", "y"]


# switch, ifelse, merge


@pytest.mark.parametrize("choice", ["a", "b", "c"])
def test_a_switch_runs_the_task_of_the_value(choice: str) -> None:
    with Flow("f") as flow:
        made = {value: say(value, task_args=named(value)) for value in ("a", "b")}
        switch(Parameter("choice"), {**made, "d": 5})
    found = states(flow, choice=choice)
    assert [name for name in "ab" if found[name] == "Success"] == ([choice] if choice in made else [])
    assert found["Constant"] == "Skipped"


@pytest.mark.parametrize(("value", "taken"), [(1, "yes"), ([], "no")])
def test_ifelse_asks_whether_a_result_counts_as_true(value: Any, taken: str) -> None:
    with Flow("f") as flow:
        yes, no = say(1, task_args=named("yes")), say(1, task_args=named("no"))
        only = say(1, task_args=named("only"))
        ifelse(Parameter("value"), yes, no)
        ifelse(Parameter("value2", default=value), only)
    found = states(flow, value=value)
    assert [name for name in ("yes", "no") if found[name] == "Success"] == [taken]
    assert found["only"] == ("Success" if taken == "yes" else "Skipped")


def test_switches_and_merges_can_be_mapped() -> None:
    with Flow("f") as flow:
        numbers = say([1, 2, 3])
        one, other = say.map(numbers), join.map(numbers, ["a", "b", "c"])
        switch(numbers, {1: one, 2: other}, mapped=True)
        merged = merge(one, other, mapped=True)
    assert flow.run().result[merged].result == [1, "2b", None]


def test_a_merge_takes_the_first_in_the_order_of_its_arguments() -> None:
    with Flow("f") as flow:
        merged = merge(*[say(None) for _ in range(11)], say("last"), checkpoint=False)
    assert flow.run().result[merged].result == "last"
    assert merged.checkpoint is False


def test_a_filter_drops_what_is_no_result(caplog: pytest.LogCaptureFixture) -> None:
    items = [1, None, ValueError("x"), 0]
    assert FilterTask().run(items) == [1, 0]
    own = FilterTask(filter_func=lambda item: item != 1, log_func=lambda item: f"left out {item}")
    with caplog.at_level("INFO"):
        assert own.run([0, 1, 2]) == [0, 2]
    assert caplog.messages == ["left out 1"]


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: case(say(1), say(2)), TypeError, r'"say" is a task: write case\(say.is_equal\(say\), True\)'),
        (lambda: case(5, 5), TypeError, r"looks at the result of a task; 5 is none"),
        (lambda: switch(say(1), [say(2)]), TypeError, "takes a dict of values and tasks"),
        (lambda: switch(say(1), {}), TypeError, "takes a dict"),
        (lambda: switch(say(1), {say(1): say(2)}), TypeError, '"say" is a task'),
        (lambda: ifelse(say(1)), TypeError, "give at least one"),
        (lambda: merge(), TypeError, "was given no tasks"),
        (lambda: FilterTask(filter_func=5), TypeError, "filter_func is 5"),
    ],
)
def test_wrong_branches_say_what_to_do(build: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words), Flow("f"):
        build()


def test_branches_need_a_flow() -> None:
    with Flow("f"):
        made = say(1)
    for build in (lambda: case(made, 1).__enter__(), lambda: switch(made, {1: made}), lambda: merge(made)):
        with pytest.raises(FlowError, match="outside a flow"):
            build()


# Resources

LOG: list[str] = []


@resource_manager
class Session:
    """A session on a server."""

    def __init__(self, name: str, broken: str = "") -> None:
        self.name = name
        self.broken = broken

    def setup(self) -> str:
        if self.broken == "setup":
            raise ValueError("cannot be set up")
        LOG.append(f"setup {self.name}")
        return self.name

    def cleanup(self, session: str) -> None:
        LOG.append(f"cleanup {session}")
        if self.broken == "cleanup":
            raise ValueError("cannot be cleaned up")


@task
def note(x: Any, what: Any = "") -> None:
    LOG.append(f"{x}{what}")


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


def test_a_resource_is_there_for_its_block_only(log: list[str]) -> None:
    with Flow("f") as flow:
        with Session(Parameter("name")) as session:
            note("uses ", session)
            note("does not use it")
        note("is outside")
    assert flow.run(name="s").is_successful()
    assert sorted(log) == sorted(["setup s", "uses s", "does not use it", "cleanup s", "is outside"])
    assert log.index("setup s") < log.index("does not use it") < log.index("cleanup s")
    assert log.index("setup s") < log.index("uses s") < log.index("cleanup s")


@pytest.mark.parametrize(
    ("broken", "cleanup", "flow_state"),
    [("", "Success", "Failed"), ("setup", "Skipped", "Failed"), ("cleanup", "Failed", "Failed")],
)
def test_cleaning_up_follows_setting_up_whatever_the_block_does(broken: str, cleanup: str, flow_state: str) -> None:
    with Flow("f") as flow, Session("s", broken) as session:
        fail(upstream_tasks=[session])
    assert states(flow)["Session.cleanup"] == cleanup
    assert flow.run().name == flow_state


def test_no_run_is_judged_by_a_cleanup() -> None:
    with Flow("f") as flow:
        given = say("s")
        with Session(given, broken="cleanup") as session:
            used = say(session)
        last = say(2)
    assert flow.reference_tasks() == [used, last]
    assert flow.run().is_successful()


def test_a_resource_that_nobody_uses_decides_by_its_setup() -> None:
    with Flow("f") as flow, Session("s", broken="setup"):
        pass
    assert [made.name for made in flow.reference_tasks()] == ["Session.setup"]
    assert flow.run().is_failed()


def test_the_tasks_of_a_resource_are_marked_and_take_options() -> None:
    Own = resource_manager(  # noqa: N806  # it is a class
        name="own", setup_task_kwargs={"max_retries": 0, "tags": ["t"]}, cleanup_task_kwargs={"name": "tidy"}
    )(Session.resource_class)
    with Flow("f") as flow, Own("s") as session:
        used = say(session)
    marked = [made for made in flow.tasks if made.is_resource_task]
    assert [made.name for made in marked] == ["own", "own.setup", "tidy"]
    assert [made.checkpoint for made in marked] == [False] * 3
    assert session.tags == {"t"}
    assert not used.is_resource_task
    assert Own.__doc__ == "A session on a server."


def test_resources_stand_in_each_other_and_in_branches(log: list[str]) -> None:
    with (
        Flow("f") as flow,
        case(Parameter("go"), True),
        Session("outer") as outer,
        Session(join(outer, "/inner")) as inner,
    ):
        note("uses ", inner)
    assert flow.run(go=True).is_successful()
    assert log == ["setup outer", "setup outer/inner", "uses outer/inner", "cleanup outer/inner", "cleanup outer"]
    log.clear()
    assert set(states(flow, go=False).values()) == {"Success", "Skipped"}
    assert log == []


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: resource_manager(say), TypeError, "decorates a class"),
        (lambda: resource_manager(type("Half", (), {"setup": print})), TypeError, r"class Half has no cleanup\(\)"),
        (lambda: Session(), TypeError, "called with arguments that do not fit"),
    ],
)
def test_wrong_resources_say_what_to_do(build: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words), Flow("f"):
        build()


def test_a_resource_needs_a_flow_and_is_opened_once() -> None:
    with pytest.raises(FlowError, match="Resource manager Session was used outside a flow"):
        Session("s")
    with Flow("f"):
        block = Session("s")
        with block:
            pass
        with pytest.raises(FlowError, match="is set up once"):
            block.__enter__()
