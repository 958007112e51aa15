"""The cache: used only for what was made from the same, and never when it is damaged or too old."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.errors import FlowError
from headwater.results import (
    Backoff,
    CacheEntry,
    CacheRule,
    CacheStore,
    FsspecResult,
    HashError,
    JSONSerializer,
    LocalResult,
    MemoryCache,
    SerializerError,
    StoreError,
    all_inputs,
    all_parameters,
    cache_key_of,
    check_validator,
    duration_only,
    hash_inputs,
    never_use,
    partial_inputs_only,
    partial_parameters_only,
    store_at,
)
from headwater.results.hashing import Hashed, digest
from headwater.results.raw_stores import MemoryStore

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["process", "folder", "memory url", "result"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> CacheStore:
    """An empty cache in each kind of place."""
    if request.param == "process":
        return MemoryCache()
    if request.param == "folder":
        return CacheStore(tmp_path)
    if request.param == "memory url":
        return CacheStore(f"memory://{uuid.uuid4().hex}")
    return CacheStore(LocalResult(tmp_path / "results"))


def rule(validator: Any = all_inputs, **settings: Any) -> CacheRule:
    return CacheRule("extract", **{"cache_for": HOUR, "validator": validator, "flow_name": "etl", **settings})


def value_of(entry: CacheEntry | None) -> Any:
    return "no hit" if entry is None else entry.value


def test_a_value_is_found_by_who_asks_the_same(cache: CacheStore) -> None:
    query = rule().ask({"x": [1, 2]}, {"day": "mon"})
    assert cache.find(query, NOW) is None
    put = cache.put(query, {"rows": 3}, NOW)
    found = cache.find(rule().ask({"x": [1, 2]}, {"day": "tue"}), NOW)
    assert found == put
    assert found is not None
    assert found.value == {"rows": 3}
    assert (found.created_at, found.expires_at) == (NOW, NOW + HOUR)
    assert found.inputs == hash_inputs({"x": [1, 2]})
    assert found.parameters == {}


def test_by_default_another_argument_is_another_value_and_both_are_kept() -> None:
    cache = MemoryCache()
    assert CacheRule("extract").validator is all_inputs
    for x in (1, 2):
        cache.put(CacheRule("extract").ask({"x": x}, {}), x * 10)
    assert [value_of(cache.find(CacheRule("extract").ask({"x": x}, {}))) for x in (1, 2, 3)] == [10, 20, "no hit"]


def test_none_is_a_value_too(cache: CacheStore) -> None:
    cache.put(rule().ask({}, {}), None, NOW)
    found = cache.find(rule().ask({}, {}), NOW)
    assert found is not None
    assert found.value is None


@pytest.mark.parametrize(
    ("validator", "hits"),
    [
        (all_inputs, ["same", "parameter"]),
        (duration_only, ["same", "x", "y", "parameter"]),
        (never_use, []),
        (all_parameters, ["same", "x", "y"]),
        (partial_inputs_only(["x"]), ["same", "y", "parameter"]),
        (partial_inputs_only(), ["same", "parameter"]),
        (partial_parameters_only(["day"]), ["same", "x", "y"]),
        (partial_parameters_only(["region"]), ["same", "x", "y", "parameter"]),
        (lambda entry, inputs, parameters: entry.inputs["y"] == hash_inputs(inputs)["y"], ["same", "x", "parameter"]),
        (lambda entry, inputs, parameters: inputs["x"] == 5, ["x"]),
    ],
)
def test_a_validator_says_what_is_compared(cache: CacheStore, validator: Any, hits: list[str]) -> None:
    inputs, parameters = {"x": 1, "y": 2}, {"day": "mon", "region": "eu"}
    cache.put(rule(validator).ask(inputs, parameters), "kept", NOW)
    asked = {
        "same": (inputs, parameters),
        "x": ({"x": 5, "y": 2}, parameters),
        "y": ({"x": 1, "y": 5}, parameters),
        "parameter": (inputs, {"day": "tue", "region": "eu"}),
    }
    found = {name: cache.find(rule(validator).ask(*given), NOW) for name, given in asked.items()}
    assert [name for name, entry in found.items() if entry is not None] == hits


def test_built_in_validators_can_be_called_with_an_entry() -> None:
    entry = MemoryCache().put(rule().ask({"x": 1, "y": 2}, {"day": "mon"}), "v", NOW)
    assert all_inputs(entry, {"x": 1, "y": 2}, {})
    assert not all_inputs(entry, {"x": 1}, {})
    assert not all_inputs(entry, {"x": 1, "y": 3}, {})
    assert partial_inputs_only(["x"])(entry, {"x": 1, "y": 3}, {})
    assert not partial_inputs_only(["x"])(entry, {"x": 3, "y": 2}, {})
    assert duration_only(entry, {}, {})
    assert not never_use(entry, {"x": 1, "y": 2}, {})


@pytest.mark.parametrize("validator", [all_inputs, duration_only, lambda entry, inputs, parameters: True])
def test_an_entry_is_offered_to_no_validator_once_it_expired(cache: CacheStore, validator: Any) -> None:
    query = rule(validator).ask({}, {})
    cache.put(query, 1, NOW)
    assert value_of(cache.find(query, NOW + HOUR - timedelta(microseconds=1))) == 1
    assert cache.find(query, NOW + HOUR) is None
    cache.put(query, 2, NOW + HOUR)
    assert value_of(cache.find(query, NOW + HOUR)) == 2


def test_without_a_duration_an_entry_stays(cache: CacheStore) -> None:
    query = rule(cache_for=None).ask({}, {})
    cache.put(query, 1, NOW)
    assert value_of(cache.find(query, NOW + timedelta(days=99_999))) == 1


def test_without_a_time_it_is_now() -> None:
    cache = MemoryCache()
    cache.put(rule().ask({}, {}), 1)
    assert value_of(cache.find(rule().ask({}, {}))) == 1
    assert cache.find(rule().ask({}, {}), datetime.now(UTC) + 2 * HOUR) is None


def test_a_forgotten_entry_is_gone_with_its_value(tmp_path: Path) -> None:
    cache, query = CacheStore(tmp_path), rule().ask({}, {})
    cache.forget(query)
    cache.put(query, 1, NOW)
    cache.forget(query)
    assert cache.find(query, NOW) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_replaced_value_is_deleted(tmp_path: Path) -> None:
    cache, query = CacheStore(tmp_path), rule().ask({}, {})
    for value in range(4):
        cache.put(query, value, NOW)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
    assert value_of(cache.find(query, NOW)) == 3


def test_nobody_changes_a_cached_value(cache: CacheStore) -> None:
    query, value = rule().ask({}, {}), [1]
    cache.put(query, value, NOW)
    value.append(2)
    value_of(cache.find(query, NOW)).append(3)
    assert value_of(cache.find(query, NOW)) == [1]


def test_what_a_run_does_to_its_inputs_does_not_count(cache: CacheStore) -> None:
    rows = [1, 2]
    query = rule().ask({"rows": rows}, {})
    rows.clear()
    cache.put(query, "sum", NOW)
    assert value_of(cache.find(rule().ask({"rows": [1, 2]}, {}), NOW)) == "sum"
    assert cache.find(rule().ask({"rows": []}, {}), NOW) is None


def test_entries_belong_to_a_task_of_a_flow_unless_a_key_is_shared() -> None:
    keys = [
        cache_key_of("extract", flow_name="etl"),
        cache_key_of("load", flow_name="etl"),
        cache_key_of("extract", flow_name="other"),
        cache_key_of("extract", flow_name="etl", version="v2"),
        cache_key_of("extract", flow_name="etl", content="abc"),
        cache_key_of("extract", "etl"),
        cache_key_of("etl/extract"),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key_of("extract", "shared", flow_name="etl", version="v1") == cache_key_of("load", "shared")
    cache = MemoryCache()
    cache.put(rule(cache_key="shared").ask({"x": 1}, {}), "kept", NOW)
    assert value_of(cache.find(CacheRule("load", HOUR, cache_key="shared").ask({"x": 1}, {}), NOW)) == "kept"


@pytest.mark.parametrize("name", ["../../etc/passwd", "Extração / carga (Cloud SQL)", "a" * 5000, ""])
def test_a_task_may_have_any_name(tmp_path: Path, name: str) -> None:
    cache, query = CacheStore(tmp_path / "c"), CacheRule(name).ask({}, {})
    cache.put(query, 1)
    assert value_of(cache.find(query)) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "c"]


# --- other processes ----------------------------------------------------------------------------

INPUTS = """{
    "airports": {"IAD", "DCA", "BWI", "ORD", "SEA"},
    "mapping": {"b": (1, 2.5), "a": [None, True, b"x"]},
    "day": datetime.date(2030, 1, 31),
    "area": fractions.Fraction(1, 3),
    "function": lambda x: x + 1,
}"""

OTHER_PROCESS = f"""
import datetime, fractions, sys
from headwater.results import *
rule = CacheRule("extract", datetime.timedelta(hours=1), flow_name="etl")
cache = CacheStore(sys.argv[1])
query = rule.ask({INPUTS}, {{}})
if sys.argv[2] == "write":
    cache.put(query, {{"rows": 3}})
else:
    print(cache.find(query).value)
"""


def test_another_process_finds_what_one_has_put(tmp_path: Path) -> None:
    def other(do: str, seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", OTHER_PROCESS, tmp_path, do],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    other("write", "1")
    assert other("read", "2") == "{'rows': 3}\n"


def test_of_two_writers_the_last_one_wins_and_readers_see_only_whole_values(tmp_path: Path) -> None:
    query = rule().ask({}, {})
    start = threading.Barrier(3)
    problems: list[str] = []

    def write(name: str) -> None:
        cache = CacheStore(tmp_path)
        start.wait()
        for n in range(15):
            cache.put(query, [name, n] * 1000, NOW)

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    start.wait()
    while any(writer.is_alive() for writer in writers):
        found = CacheStore(tmp_path).find(query, NOW)
        if found is not None and found.value != found.value[:2] * 1000:
            problems.append(str(found.value)[:100])
    assert problems == []
    last = value_of(CacheStore(tmp_path).find(query, NOW))
    assert last[:2] in (["a", 14], ["b", 14])


def test_a_cache_of_one_process_is_not_sent_to_another() -> None:
    with pytest.raises(TypeError, match="lives in one process"):
        pickle.dumps(MemoryCache())
    assert pickle.loads(pickle.dumps(CacheStore("/data"))).store == store_at("/data")


# --- damage -------------------------------------------------------------------------------------


def damaged(tmp_path: Path, suffix: str) -> tuple[CacheStore, Any, Path]:
    cache, query = CacheStore(tmp_path), rule().ask({"x": 1}, {})
    cache.put(query, list(range(100)), NOW)
    return cache, query, next(tmp_path.rglob(f"*{suffix}"))


@pytest.mark.parametrize("suffix", [".json", ".value"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"\x00" * len(data),
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    ],
    ids=["empty", "one byte short", "half", "zeros", "one bit"],
)
def test_a_torn_or_damaged_file_is_no_hit_and_is_replaced(
    tmp_path: Path, suffix: str, damage: Any, caplog: Any
) -> None:
    cache, query, file = damaged(tmp_path, suffix)
    file.write_bytes(damage(file.read_bytes()))
    assert cache.find(query, NOW) is None
    assert "is not used" in caplog.text
    cache.put(query, "new", NOW)
    assert value_of(cache.find(query, NOW)) == "new"


def test_a_value_that_can_be_read_but_is_not_the_one_that_was_kept_is_no_hit(tmp_path: Path) -> None:
    cache, query, file = damaged(tmp_path, ".value")
    file.write_bytes(pickle.dumps("another"))
    assert cache.find(query, NOW) is None


def test_a_value_that_is_gone_is_no_hit(tmp_path: Path) -> None:
    cache, query, file = damaged(tmp_path, ".value")
    file.unlink()
    assert cache.find(query, NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"key": "of another"},
        {"createdAt": "2030-01-31T12:00:00"},
        {"expiresAt": "soon"},
        {"expiresAt": "2031-01-01T00:00:00"},
        {"inputs": None},
        {"location": 7},
        {"location": "../secret"},
        {"location": "other.value"},
        {"sha256": None},
    ],
    ids=str,
)
def test_an_entry_that_this_did_not_write_is_no_hit(tmp_path: Path, change: dict[str, Any]) -> None:
    cache, query, file = damaged(tmp_path, ".json")
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert cache.find(query, NOW) is not None
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert cache.find(query, NOW) is None


@pytest.mark.parametrize("text", ["[]", "null", "3", "{}", '"text"'])
def test_json_of_another_kind_is_no_hit(tmp_path: Path, text: str) -> None:
    cache, query, file = damaged(tmp_path, ".json")
    file.write_text(text)
    assert cache.find(query, NOW) is None


def test_an_entry_leads_to_no_file_outside_its_own(tmp_path: Path) -> None:
    cache, query, file = damaged(tmp_path, ".json")
    record = json.loads(file.read_text())
    stem = record["location"].rpartition("-")[0]
    (tmp_path / "secret").write_bytes((tmp_path / record["location"]).read_bytes())
    file.write_text(json.dumps({**record, "location": f"{stem}/../../../secret"}))
    assert cache.find(query, NOW) is None


def test_another_serializer_does_not_read_what_one_wrote(cache: CacheStore) -> None:
    cache.put(rule(serializer=JSONSerializer()).ask({}, {}), [1], NOW)
    assert cache.find(rule().ask({}, {}), NOW) is None
    assert value_of(cache.find(rule(serializer=JSONSerializer()).ask({}, {}), NOW)) == [1]

    class Loose(JSONSerializer):
        """Reads the same bytes, and may make something else of them."""

    assert cache.find(rule(serializer=Loose()).ask({}, {}), NOW) is None


@dataclass
class Gone:
    """Unpickled only by who can import it."""


def test_a_value_whose_class_is_gone_is_no_hit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shortlived.py").write_text("class Row: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import shortlived  # type: ignore[import-not-found]

    cache, query = CacheStore(tmp_path / "cache"), rule().ask({}, {})
    cache.put(query, shortlived.Row(), NOW)
    assert isinstance(value_of(cache.find(query, NOW)), shortlived.Row)
    monkeypatch.setitem(sys.modules, "shortlived", None)
    assert cache.find(query, NOW) is None
    assert "cannot be read; it is not used" in caplog.text


def test_a_value_that_cannot_be_written_leaves_the_old_entry(cache: CacheStore) -> None:
    query = rule().ask({}, {})
    cache.put(query, "old", NOW)
    with pytest.raises(SerializerError, match="cannot write a value of type lock"):
        cache.put(query, threading.Lock(), NOW)
    assert value_of(cache.find(query, NOW)) == "old"


def test_a_store_that_does_not_answer_is_no_miss(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CacheStore(tmp_path / "file")
    with pytest.raises(StoreError, match=r"Reading .* in .*/file failed \(NotADirectoryError"):
        cache.put(rule().ask({}, {}), 1)
    away = CacheStore(FsspecResult("nosuch://x", backoff=Backoff(attempts=1)))
    with pytest.raises(StoreError, match="cannot be reached"):
        away.find(rule().ask({}, {}))


def test_a_value_that_is_replaced_while_it_is_read_is_read_again() -> None:
    class Busy(MemoryStore):
        """A store in which another writer puts a new value whenever one is about to be read."""

        replacements = 1

        def read_bytes(self, location: str) -> bytes:
            if location.endswith(".value") and self.replacements:
                self.replacements -= 1
                CacheStore(self).put(query, "newer", NOW)
            return super().read_bytes(location)

    query, store = rule().ask({}, {}), Busy()
    CacheStore(store).put(query, "older", NOW)
    assert value_of(CacheStore(store).find(query, NOW)) == "newer"


# --- hashes -------------------------------------------------------------------------------------


def test_different_things_have_different_hashes() -> None:
    things: list[Any] = [
        *(None, True, False, 1, 0, 1.0, 0.0, -0.0, "1", "", b"1", b"", "None", 10**40, float("inf"), float("nan")),
        *([], (), {}, set(), frozenset(), [None], [[]], [()], [1], (1,), {1}, frozenset({1}), [1.0], [True], ["1"]),
        *(
            {"a": 1},
            {"a": "1"},
            {1: "a"},
            {"1": "a"},
            {("a", 1): 1},
            [["a", 1]],
            [("a", 1)],
            {"a": {"b": 1}},
            {"a.b": 1},
        ),
        *(["list", []], ["tuple", [1]], [1, 2], [2, 1], [[1], 2], [[1, 2]], "[1, 2]"),
        *(date(2030, 1, 31), NOW, Path("/a"), Gone(), Gone, len, sorted),
    ]
    hashes = [digest(thing) for thing in things]
    assert [thing for thing, h in zip(things, hashes, strict=True) if hashes.count(h) > 1] == []
    assert {len(h) for h in hashes} == {64}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(plain)
def test_equal_plain_data_hashes_alike_whatever_its_identity_and_order(value: Any) -> None:
    def turned(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: turned(item[key]) for key in reversed(item)}
        if isinstance(item, (list, tuple)):
            return type(item)(turned(part) for part in item)
        return pickle.loads(pickle.dumps(item))

    assert digest(turned(value)) == digest(value)
    assert digest([value]) != digest(value)


def test_hashes_are_per_argument() -> None:
    assert hash_inputs({"y": 1, "x": 1, "z": 2}) == {"x": digest(1), "y": digest(1), "z": digest(2)}
    assert hash_inputs({"y": 1, "x": 1}, ["x"]) == {"x": digest(1)}


def test_a_hash_is_made_once() -> None:
    class Counted:
        made = 0

        def __reduce__(self) -> Any:
            Counted.made += 1
            return Counted, ()

    query = rule().ask({"x": Counted()}, {})
    cache = MemoryCache()
    cache.put(query, 1, NOW)
    assert value_of(cache.find(query, NOW)) == 1
    assert Counted.made <= 2  # once by pickle, which cannot name a local class, and once by cloudpickle


def cyclic() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    "value", [threading.Lock(), (n for n in "x"), sys.stdout, [{"a": threading.Lock()}], cyclic()], ids=str
)
def test_an_argument_that_cannot_be_hashed_is_named(value: Any) -> None:
    with pytest.raises(HashError, match=r'argument "conn" of type .* cannot be hashed .*partial_inputs_only'):
        rule().ask({"conn": value, "x": 1}, {})
    cache = MemoryCache()
    for validator in (
        partial_inputs_only(["x"]),
        duration_only,
        all_parameters,
        lambda entry, inputs, parameters: True,
    ):
        query = rule(validator).ask({"conn": value, "x": 1}, {})
        cache.put(query, "kept", NOW)
        assert value_of(cache.find(query, NOW)) == "kept"


def test_hashed_arguments_are_a_mapping() -> None:
    assert dict(Hashed({"a": 1, "b": 2})) == {"a": 1, "b": 2}
    assert len(Hashed({"a": 1})) == 1


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: partial_inputs_only("day"), r'validate_on is a list of names; write validate_on=\["day"\]'),
        (lambda: rule(partial_inputs_only), r"partial_inputs_only is to be called: partial_inputs_only\(validate_on"),
        (lambda: check_validator(partial_parameters_only), "is to be called"),
        (lambda: rule("all_inputs"), "cache_validator is 'all_inputs'; give one such as all_inputs"),
        (lambda: rule(cache_for=timedelta(0)), 'Task "extract": cache_for is 0:00:00; give more than zero'),
        (lambda: rule(partial_inputs_only(["z"])).ask({"x": 1, "y": 2}, {}), 'compares the argument "z", .*: x, y'),
        (lambda: rule(partial_parameters_only(["z"])).ask({}, {}), 'compares the parameter "z", .*: none'),
    ],
)
def test_wrong_use_says_what_to_do(build: Any, words: str) -> None:
    with pytest.raises(FlowError, match=words):
        build()
