"""Whose turn it is, as tables: limits of a flow, limits by name, policies, order."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.resources.conditions import RunState
from headwater_operator.runs.concurrency import BadLimit, Concurrency, Policy, concurrency_of, limits_of
from headwater_operator.runs.queue import Go, Leave, Line, Place, Stay, replaced_by, turn


def place(name: str, flow: str = "etl", priority: int = 0, second: int = 0) -> Place:
    return Place(f"uid-{name}", name, flow, f"2026-11-23T12:00:{second:02d}Z", priority)


def in_line(*names: str, flow: str = "etl") -> tuple[Place, ...]:
    """Places one second apart."""
    return tuple(place(name, flow, second=i) for i, name in enumerate(names))


def line(*places: Place, **parts: Any) -> Line:
    concurrency = parts.pop("concurrency", {"etl": Concurrency(limit=2)})
    holding = {flow: frozenset(uids) for flow, uids in parts.pop("holding", {}).items()}
    return Line("sales", concurrency, places=places, holding=holding, **parts)


def turns(found: Line) -> dict[str, str]:
    """What each in line is told, in one word or in all of them."""
    words = {}
    for one in found.places:
        answer = turn(one, found)
        words[one.name] = "go" if isinstance(answer, Go) else answer.message
    return words


def test_slots_go_to_the_oldest_and_the_others_say_what_is_before_them() -> None:
    assert turns(line(*in_line("a", "b", "c", "d", "e"), holding={"etl": {"x"}})) == {
        "a": "go",
        "b": '2 of 2 runs of Flow "etl" are active; it is next',
        "c": '2 of 2 runs of Flow "etl" are active; 1 is before it',
        "d": '2 of 2 runs of Flow "etl" are active; 2 are before it',
        "e": '2 of 2 runs of Flow "etl" are active; 3 are before it',
    }


def test_of_equal_age_the_name_decides() -> None:
    found = line(place("b"), place("a"), concurrency={"etl": Concurrency(limit=1)})
    assert [name for name, words in turns(found).items() if words == "go"] == ["a"]


def test_a_higher_priority_goes_first() -> None:
    found = line(place("old", second=1), place("low", priority=-1), place("high", priority=5, second=9))
    assert [name for name, words in turns(found).items() if words == "go"] == ["old", "high"]


def test_a_long_line_is_not_counted_to_its_end() -> None:
    words = turns(line(*in_line(*(f"r{i:02d}" for i in range(20))), holding={"etl": {"x", "y"}}))
    assert words["r05"].endswith("; 5 are before it")
    assert words["r06"].endswith("; more than 5 are before it")
    assert words["r19"].endswith("; more than 5 are before it")


def test_who_has_begun_keeps_its_slot_whoever_comes() -> None:
    """A run that was let begin, and whose pods are being made, is asked about again."""
    found = line(place("begun", second=9), place("first", priority=9), holding={"etl": {"uid-begun", "x"}})
    assert turn(found.places[0], found) == Go()
    assert isinstance(turn(found.places[1], found), Stay)


def test_a_flow_without_limits_never_waits() -> None:
    assert turn(place("a", "free"), line(holding={"free": {"x"}})) == Go()


GPU = {"etl": Concurrency(slots={"gpu": 2}), "ml": Concurrency(limit=1, slots={"gpu": 1})}


@pytest.mark.parametrize(
    ("places", "limits", "holding", "told"),
    [
        ([place("a"), place("b", "ml", second=1)], {"gpu": 3}, {}, {"a": "go", "b": "go"}),
        (
            [place("a"), place("b", "ml", second=1)],
            {"gpu": 2},
            {},
            {"a": "go", "b": '2 of 2 slots of limit "gpu" are taken; it is next'},
        ),
        # Nobody is overtaken in the limit that it waits for, though one slot would be free.
        (
            [place("a"), place("b", "ml", second=1)],
            {"gpu": 2},
            {"ml": {"x"}},
            {
                "a": '1 of 2 slots of limit "gpu" are taken, and 2 are needed; it is next',
                "b": '1 of 1 runs of Flow "ml" is active; it is next',
            },
        ),
        (
            [place("a"), place("b", "ml", second=1)],
            {"gpu": 3},
            {"etl": {"x"}},
            {
                "a": '2 of 3 slots of limit "gpu" are taken, and 2 are needed; it is next',
                "b": '2 of 3 slots of limit "gpu" are taken; 1 is before it',
            },
        ),
        # Who waits for its own flow holds nothing of the shared limit.
        (
            [place("b", "ml"), place("a", second=1)],
            {"gpu": 3},
            {"ml": {"x"}},
            {"b": '1 of 1 runs of Flow "ml" is active; it is next', "a": "go"},
        ),
        # A limit that is too small for a run, or missing, keeps nobody else waiting.
        (
            [place("a"), place("b", "ml", second=1)],
            {"gpu": 1},
            {},
            {"a": 'limit "gpu" has 1 slots in all, and a run of Flow "etl" needs 2', "b": "go"},
        ),
        (
            [place("a")],
            {},
            {},
            {
                "a": 'there is no limit "gpu" in namespace "sales": no ConfigMap with the label '
                "headwater.dev/role=limits has it"
            },
        ),
        ([place("b", "ml")], {"gpu": BadLimit("it is odd")}, {}, {"b": "it is odd"}),
        (
            [place("b", "ml")],
            {"gpu": 0},
            {},
            {"b": 'limit "gpu" has 0 slots in all, and a run of Flow "ml" needs 1'},
        ),
    ],
)
def test_limits_that_flows_share(places: list[Place], limits: Any, holding: Any, told: dict[str, str]) -> None:
    assert turns(line(*places, concurrency=GPU, limits=limits, holding=holding)) == told


def test_who_needs_two_limits_is_not_overtaken_in_either() -> None:
    concurrency = {name: Concurrency(slots=dict.fromkeys(name, 1)) for name in ("ab", "a", "b")}
    waiting = [place("r", "ab"), *(place(f"{flow}{i}", flow, second=i) for i in range(1, 7) for flow in "ab")]
    holding = {"ab": [], "a": ["a0"], "b": ["b0"]}
    begun = []
    for step in range(4):
        holding["ab" if step > 1 else "ab"[step]].clear()
        found = line(*waiting, concurrency=concurrency, limits={"a": 1, "b": 1}, holding=holding)
        words = turns(found)
        if step == 0:
            assert words["r"] == '1 of 1 slots of limit "b" are taken; it is next'
            assert words["a1"] == '0 of 1 slots of limit "a" are taken; 1 is before it'
        for one in found.places:
            if words[one.name] == "go":
                waiting.remove(one)
                holding[one.flow].append(one.uid)
                begun.append(one.name)
    assert begun == ["r", "a1", "b1"]


def test_skip_ends_what_has_no_room() -> None:
    skip = {"etl": Concurrency(1, Policy.SKIP, {"gpu": 1})}
    a, b = in_line("a", "b")
    found = line(a, b, concurrency=skip, limits={"gpu": 1})
    assert turn(a, found) == Go()
    assert turn(b, found) == Leave(RunState.SKIPPED, 'skipped: 1 of 1 runs of Flow "etl" is active')
    broken = turn(a, line(a, concurrency=skip))
    assert isinstance(broken, Stay), "a limit that is missing is somebody's mistake, no reason to skip"


def test_replace_lets_the_newest_begin_when_the_oldest_has_stopped() -> None:
    replace = {"etl": Concurrency(1, Policy.REPLACE)}
    a, b, c = in_line("a", "b", "c")
    found = line(b, c, concurrency=replace, holding={"etl": {"uid-a"}}, contenders=(a,))
    assert turn(c, found) == Stay('1 of 1 runs of Flow "etl" is active, and the oldest is being stopped; it is next')
    assert turn(b, found) == Stay('a newer run of Flow "etl" is before it')
    assert replaced_by(a, found) is None, "nobody is stopped for a run that may yet be refused"
    found = line(b, c, concurrency=replace, holding={"etl": {"uid-a"}}, contenders=(a, c))
    assert replaced_by(a, found) == "c"
    assert turn(b, found) == Leave(RunState.CANCELLED, "replaced by run c")
    assert replaced_by(c, found) is None
    assert turn(c, line(c, concurrency=replace, contenders=(c,))) == Go()


def test_replace_leaves_as_many_as_the_limit() -> None:
    a, b, c = in_line("a", "b", "c")
    found = line(c, concurrency={"etl": Concurrency(2, Policy.REPLACE)}, contenders=(a, b, c))
    assert [replaced_by(one, found) for one in (a, b, c)] == ["b", None, None]


def test_nobody_stops_because_the_limit_was_made_smaller() -> None:
    a, b, c = in_line("a", "b", "c")
    one = {"etl": Concurrency(1, Policy.REPLACE)}
    under_way = {"etl": {"uid-a", "uid-b"}}
    found = line(concurrency=one, holding=under_way, contenders=(a, b))
    assert [replaced_by(run, found) for run in (a, b)] == [None, None]
    found = line(c, concurrency=one, holding=under_way, contenders=(a, b, c))
    assert [replaced_by(run, found) for run in (a, b, c)] == ["c", "c", None], "but for one that wants to begin"


@pytest.mark.parametrize("limits", [{}, {"gpu": BadLimit("it is odd")}, {"gpu": 1}], ids=["missing", "bad", "small"])
def test_nobody_stops_for_a_run_whose_shared_limit_is_broken(limits) -> None:
    a, b = in_line("a", "b")
    replace = {"etl": Concurrency(1, Policy.REPLACE, {"gpu": 2})}
    parts: Any = {"concurrency": replace, "holding": {"etl": {"uid-a"}}, "contenders": (a, b)}
    found = line(b, limits=limits, **parts)
    assert replaced_by(a, found) is None
    assert isinstance(turn(b, found), Stay)
    assert replaced_by(a, line(b, limits={"gpu": 2}, **parts)) == "b"


@pytest.mark.parametrize(
    ("data", "read"),
    [
        ([{"gpu": "2", "db": " 3\n"}], {"gpu": 2, "db": 3}),
        ([{"gpu": "2"}, {"gpu": "1"}], {"gpu": 1}),
        ([None], {}),
        ([{"gpu": "two"}], "two"),
        ([{"gpu": "-1"}], "-1"),
        ([{"gpu": "1.5"}, {"gpu": "3"}], "1.5"),
        ([{"gpu": "3"}, {"gpu": ""}], ""),
        ([{"gpu": "1000000"}], {"gpu": 1_000_000}),
        ([{"gpu": "1000001"}], "1000001"),
        ([{"gpu": "\u0663"}], "\u0663"),
        ([{"gpu": "9" * 5000}], "9" * 40),
    ],
)
def test_limits_are_read_from_config_maps(data: list[Any], read: Any) -> None:
    maps = [{"metadata": {"name": "limits"}, "data": one} for one in data]
    found = limits_of(maps)
    if isinstance(read, str):
        words = f'limit "gpu" in ConfigMap "limits" is "{read}"; it must be a number of slots, 0 to 1000000'
        assert found == {"gpu": BadLimit(words)}
    else:
        assert found == read


def test_what_a_flow_says_of_its_runs(make) -> None:
    assert concurrency_of(make.flow()) is None
    limits = [{"name": "gpu", "slots": 2}, {"name": "db"}]
    flow = make.flow(concurrency={"limit": 3, "policy": "Skip", "limits": limits})
    assert concurrency_of(flow) == Concurrency(3, Policy.SKIP, {"gpu": 2, "db": 1})
