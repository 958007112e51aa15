"""Flows that use every feature, one each, with what they have to come to. The same on every executor and in a FlowRun.

EXPECTED: flow -> task label -> state, or for a mapped task the list of its children's states. Flows check values
themselves, by tasks called `check`, so that nothing has to be brought out of a cluster.
"""

import asyncio
import time
from datetime import timedelta
from typing import Any

from headwater import Flow, Parameter, Task, case, context, flatten, mapped, resource_manager, tags, task, unmapped
from headwater.control_flow import FilterTask, ifelse, merge, switch
from headwater.signals import FAIL, LOOP, RETRY, SKIP, SUCCESS
from headwater.states import Failed, Skipped, Success
from headwater.triggers import all_failed, all_finished, any_failed, any_successful, some_successful

SHORT = timedelta(seconds=0.05)
EXPECTED: dict[str, dict[str, Any]] = {}


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def double(x: Any) -> Any:
    return 2 * x


@task
def fail(*, message: str = "on purpose") -> None:
    raise ValueError(message)


@task
def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


@task
def odd_skips(x: int) -> int:
    if x % 2:
        raise SKIP(f"{x} is odd")
    return x


@task(name="check")
def check(found: Any, expected: Any) -> None:
    assert found == expected, f"{found!r} is not {expected!r}"


@task(name="check", trigger=all_finished, skip_on_upstream_skip=False)
def check_anyway(found: Any, expected: Any) -> None:
    assert found == expected, f"{found!r} is not {expected!r}"


with Flow("mapping") as mapping:
    xs = numbers(4)
    ys = double.map(xs)
    zs = double.map(ys)
    check(zs, [0, 4, 8, 12])
    check.map(double.map([1, 2, 3]), [2, 4, 6, 8])
    check(double.map([]), [])
EXPECTED["mapping"] = {
    "numbers": "Success",
    "double-1": ["Success"] * 4,
    "double-2": ["Success"] * 4,
    "check-1": "Success",
    "double-3": ["Success"] * 3,
    "check-2": ["Success"] * 3,
    "double-4": [],
    "check-3": "Success",
}


@task
def add(x: Any, y: Any = 0) -> Any:
    return x + y


@task
def lists(n: int) -> list[list[int]]:
    return [list(range(i)) for i in range(n)]


@task
def up_to(n: int) -> list[int]:
    return list(range(n))


with Flow("widths") as widths:
    table = lists(4)
    check(add.map(flatten(table), unmapped(10)), [10, 10, 11, 10, 11, 12])
    each = up_to.map([1, 2, 3])
    check(add(x=mapped(flatten(each)), y=100), [100, 100, 101, 100, 101, 102])
    check(flatten(each), [0, 0, 1, 0, 1, 2])
    check(add.map([1, 2], unmapped(numbers(2)[1])), [2, 3])
EXPECTED["widths"] = {}


with Flow("pipelines") as pipelines:
    picked = odd_fails.map(numbers(4))
    after = double.map(picked)
    check_anyway(FilterTask(filter_func=lambda x: not isinstance(x, BaseException))(after), [0, 4])
    doubled = double.map(odd_skips.map(numbers(3)))
    double(doubled, task_args={"name": "reduce"})
EXPECTED["pipelines"] = {
    "odd_fails": ["Success", "Failed", "Success", "Failed"],
    "double-1": ["Success", "TriggerFailed", "Success", "TriggerFailed"],
    "check": "Success",
    "odd_skips": ["Success", "Skipped", "Success"],
    "double-2": ["Success", "Skipped", "Success"],
    "reduce": "Skipped",
}


@task
def unlike_a_list() -> int:
    return 7


with Flow("unmappable") as unmappable:
    double.map(unlike_a_list())
    double.map(fail(task_args={"name": "broken"}), task_args={"name": "over_broken"})
EXPECTED["unmappable"] = {"double": "Failed", "broken": "Failed", "over_broken": "Failed"}


with Flow("triggers") as triggers:
    good, bad = numbers(1), fail()
    late = {"upstream_tasks": [good, bad]}
    for trigger in (all_finished, any_failed, any_successful, some_successful(at_least=0.5), all_failed):
        numbers(1, task_args={"name": trigger.__name__, "trigger": trigger}, **late)
    numbers(1, task_args={"name": "own_yes", "trigger": lambda states: len(states) == 2}, **late)
    numbers(1, task_args={"name": "own_no", "trigger": lambda states: False}, **late)
    numbers(1, task_args={"name": "own_error", "trigger": lambda states: 1 / 0}, **late)
    triggers.set_reference_tasks([good])
EXPECTED["triggers"] = {
    "numbers": "Success",
    "fail": "Failed",
    "all_finished": "Success",
    "any_failed": "Success",
    "any_successful": "Success",
    "some_successful": "Success",
    "all_failed": "TriggerFailed",
    "own_yes": "Success",
    "own_no": "TriggerFailed",
    "own_error": "TriggerFailed",
}


@task
def say(signal: str) -> Any:
    raise {"FAIL": FAIL("no"), "SKIP": SKIP("not today"), "SUCCESS": SUCCESS("yes", result=5)}[signal]


@task
def thrice() -> int:
    if context.task_loop_count < 3:
        raise LOOP(result=(context.task_loop_result or 0) + 10)
    return context.task_loop_result + context.task_loop_count


@task
def again() -> int:
    if context.task_run_count < 3:
        raise RETRY("not yet")
    return context.task_run_count


with Flow("signals") as signals:
    say("FAIL", task_args={"name": "failed"})
    skipped = say("SKIP", task_args={"name": "skipped"})
    double(skipped, task_args={"name": "after_skip"})
    check_anyway(skipped, None)
    check(say("SUCCESS", task_args={"name": "succeeded"}), 5)
    check(thrice(), 23)
    check(again(), 3)
    signals.set_reference_tasks([skipped])
EXPECTED["signals"] = {
    "failed": "Failed",
    "skipped": "Skipped",
    "after_skip": "Skipped",
    "check-1": "Success",
    "succeeded": "Success",
    "check-2": "Success",
    "thrice": "Success",
    "check-3": "Success",
    "again": "Success",
    "check-4": "Success",
}


@task(max_retries=3, retry_delay=SHORT)
def second_time(x: int = 1) -> int:
    if context.task_run_count < 2:
        raise RuntimeError("HTTP Timeout!")
    return x


@task(max_retries=3, retry_delay=[SHORT, SHORT], retry_on=KeyError, retry_jitter=0.5)
def not_for_this() -> None:
    raise ValueError("not worth repeating")


@task(max_retries=2, retry_delay=lambda attempt: attempt * SHORT, retry_condition=lambda t, e: "busy" in str(e))
def busy() -> int:
    if context.task_run_count < 3:
        raise RuntimeError("busy")
    return 1


with Flow("retries") as retries:
    check(second_time(5), 5)
    check(second_time.map([1, 2]), [1, 2])
    check(busy(), 1)
    not_for_this()
    retries.set_reference_tasks(retries.get_tasks(name="check"))
EXPECTED["retries"] = {
    "second_time-1": "Success",
    "second_time-2": ["Success", "Success"],
    "busy": "Success",
    "not_for_this": "Failed",
    "check-1": "Success",
    "check-2": "Success",
    "check-3": "Success",
}


@task
def text(value: str) -> str:
    return value


@task(nout=2)
def pair() -> tuple[int, str]:
    return 1, "one"


class Adder(Task):
    def __init__(self, number: int, **options: Any) -> None:
        self.number = number
        super().__init__(**options)

    def run(self, x: int) -> int:
        return x + self.number


with Flow("building") as building:
    n = Parameter("n", default=3)
    one, word = pair()
    check([one, word], [1, "one"])
    check({"a": n, "b": [n, {"c": one}]}, {"a": 3, "b": [3, {"c": 1}]})
    check((n, one), (3, 1))
    check(n + 1, 4)
    check(10 - n, 7)
    check(n * n, 9)
    check(n > one, True)
    check(n.is_equal(3), True)
    check(text("abc")[1], "b")
    check(Adder(5)(n), 8)
    with tags("a", "b"):
        tagged = text("x")
    last = text("last")
    last.set_upstream(tagged)
    building.chain(text("1"), text("2"), text("3"))
    check(n.pipe(double), 6)
EXPECTED["building"] = {}


with Flow("branches") as branches:
    choice = text("b")
    with case(choice, "a"):
        a = text("from a", task_args={"name": "a"})
    with case(choice, "b"):
        b = text("from b", task_args={"name": "b"})
        with case(text("no", task_args={"name": "inner"}), "yes"):
            text("never", task_args={"name": "never"})
    check(merge(a, b), "from b")
    switch(choice, {"b": text("taken", task_args={"name": "taken"}), "c": text("c", task_args={"name": "not_taken"})})
    yes, no = text("yes", task_args={"name": "yes"}), text("no", task_args={"name": "no"})
    ifelse(choice.is_equal("b"), yes, no)
    double(merge(a, no), task_args={"name": "after_nothing"})
EXPECTED["branches"] = {
    "a": "Skipped",
    "b": "Success",
    "inner": "Success",
    "never": "Skipped",
    "check": "Success",
    "taken": "Success",
    "not_taken": "Skipped",
    "yes": "Success",
    "no": "Skipped",
    "after_nothing": "Skipped",
}


@resource_manager
class Session:
    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self) -> dict[str, str]:
        return {"session": self.name}

    def cleanup(self, session: dict[str, str]) -> None:
        assert session == {"session": self.name}


with Flow("resources") as resources:
    with Session("first") as session:
        check(session["session"], "first")
        fail(task_args={"name": "body"}, upstream_tasks=[session])
EXPECTED["resources"] = {"check": "Success", "body": "Failed"}


@task(timeout=0.5)
def too_long() -> None:
    time.sleep(30)


@task(timeout=20)
def in_time(x: int) -> int:
    return x + context.task_run_count


@task
async def awaited(x: int) -> int:
    await asyncio.sleep(0.01)
    return x + 1


@task(timeout=0.2)
async def awaited_too_long() -> None:
    await asyncio.sleep(30)


with Flow("times") as times:
    too_long()
    check(in_time(1), 2)
    check(awaited(1), 2)
    awaited_too_long()
    times.set_reference_tasks(times.get_tasks(name="check"))
EXPECTED["times"] = {
    "too_long": "TimedOut",
    "in_time": "Success",
    "awaited": "Success",
    "awaited_too_long": "TimedOut",
    "check-1": "Success",
    "check-2": "Success",
}


def better(obj: Any, old: Any, new: Any) -> Any:
    """A state handler that makes good what failed."""
    return Success("made good", result=7) if new.is_failed() else None


def not_at_all(obj: Any, old: Any, new: Any) -> Any:
    return Skipped("a handler said so") if new.is_running() else None


def broken(obj: Any, old: Any, new: Any) -> Any:
    if new.is_successful():
        raise RuntimeError("a broken handler")


def worse(obj: Any, old: Any, new: Any) -> Any:
    return Failed("a handler was not content") if new.is_skipped() else None


with Flow("handlers") as handlers:
    check(fail(task_args={"name": "made_good", "state_handlers": [better]}), 7)
    failed = fail(task_args={"name": "bad"})
    check(double(failed, task_args={"name": "rescued", "state_handlers": [better]}), 7)
    numbers(1, task_args={"name": "refused", "state_handlers": [not_at_all]})
    numbers(1, task_args={"name": "handler_fails", "state_handlers": [broken]})
    gone = say("SKIP", task_args={"name": "gone"})
    double(gone, task_args={"name": "worse", "state_handlers": [worse]})
    check(double.map(numbers(2), task_args={"name": "children", "state_handlers": [better]}), [0, 2])
    handlers.set_reference_tasks(handlers.get_tasks(name="check"))
EXPECTED["handlers"] = {
    "made_good": "Success",
    "check-1": "Success",
    "bad": "Failed",
    "rescued": "Success",
    "check-2": "Success",
    "refused": "Skipped",
    "handler_fails": "Failed",
    "gone": "Skipped",
    "worse": "Failed",
    "children": ["Success", "Success"],
    "check-3": "Success",
}


@task
def what_is_known() -> dict[str, Any]:
    names = ("flow_name", "task_name", "task_full_name", "task_slug", "task_run_count", "parameters")
    return {**{name: context.get(name) for name in names}, "index": context.get("map_index")}


@task(log_stdout=True, task_run_name="named-{x}")
def named(x: int) -> str:
    print("said on stdout")
    return str(context.task_run_name)


with Flow("knowing") as knowing:
    p = Parameter("p", default=1)
    known = what_is_known()
    check(
        known,
        {
            "flow_name": "knowing",
            "task_name": "what_is_known",
            "task_full_name": "what_is_known",
            "task_slug": "what_is_known-1",
            "task_run_count": 1,
            "parameters": {"p": 1},
            "index": None,
        },
    )
    check(named.map([1, 2]), ["named-1", "named-2"])
    double(p)
EXPECTED["knowing"] = {"what_is_known": "Success", "check-1": "Success", "named": ["Success"] * 2, "check-2": "Success"}


@task
def leave() -> None:
    raise SystemExit(3)


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("cannot be made from its text")


@task
def raise_unpicklable() -> None:
    raise Unpicklable(1, 2)


with Flow("errors") as errors:
    leave()
    raise_unpicklable()
    check_anyway(numbers(3), [0, 1, 2])
    errors.set_reference_tasks(errors.get_tasks(name="check"))
EXPECTED["errors"] = {"leave": "Failed", "raise_unpicklable": "Failed", "numbers": "Success", "check": "Success"}

FAILS = {"unmappable", "resources"}
FLOWS = {name: globals()[name] for name in EXPECTED}
