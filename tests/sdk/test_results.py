"""Results: what is written is read back, whole; what cannot be says why; stores are tried again."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cloudpickle
import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from headwater.core.errors import FlowError, HeadwaterError
from headwater.results import (
    Backoff,
    CompressedSerializer,
    ConstantResult,
    DateTimeSerializer,
    FsspecResult,
    InlineResult,
    JSONSerializer,
    LocalResult,
    MissingError,
    PandasSerializer,
    PickleSerializer,
    Result,
    S3Result,
    SerializerError,
    StoreError,
    format_location,
    store_at,
)
from headwater.results.raw_stores import FsspecStore, LocalStore, MemoryStore
from headwater.results.store import Retried

AT_ONCE = Backoff(first_wait_seconds=0)


@pytest.fixture(params=["folder", "memory", "file url"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Result:
    """A result in each kind of place, empty."""
    if request.param == "folder":
        return LocalResult(tmp_path / "results")
    if request.param == "memory":
        return FsspecResult(f"memory://{uuid.uuid4().hex}/prefix")
    return FsspecResult(f"file://{tmp_path}/by-url")


def test_what_is_written_is_read_back(kept: Result) -> None:
    written = kept.write({"rows": [1, 2]})
    assert written.value == {"rows": [1, 2]}
    assert kept.exists(written.final_location())
    read = kept.read(written.final_location())
    assert read == written
    assert read.value is not written.value
    assert kept.location is None
    assert kept.value is None


def test_each_write_without_a_location_has_a_place_of_its_own(kept: Result) -> None:
    first, second = kept.write(1), kept.write(2)
    today = datetime.now(UTC)
    for written in (first, second):
        assert written.final_location().startswith(f"{today.year}/")
        assert written.final_location().endswith(".headwater_result")
    assert [kept.read(r.final_location()).value for r in (first, second)] == [1, 2]


def test_a_second_write_to_a_location_replaces_the_first(kept: Result) -> None:
    kept.location = "{flow_name}/{task_name}.bin"
    first = kept.write("old", flow_name="etl", task_name="load {all}")
    assert first.location == "etl/load {all}.bin"
    assert first.write("new").location == first.location
    assert kept.read("etl/load {all}.bin").value == "new"


def test_exists_formats_its_location_and_read_does_not(kept: Result) -> None:
    assert not kept.exists("{task_name}.bin", task_name="extract")
    kept.location = lambda task_name, **_: f"{task_name}.bin"
    kept.write(1, task_name="extract", value="an input", location="another")
    assert kept.exists("{task_name}.bin", task_name="extract")
    assert kept.exists(lambda task_name, **_: f"{task_name}.bin", task_name="extract")
    assert not kept.exists("2030")
    with pytest.raises(MissingError, match=r'Nothing is stored at "\{task_name\}.bin"'):
        kept.read("{task_name}.bin")


def test_a_folder_is_no_stored_value(kept: Result) -> None:
    kept.from_value(None).format().write(1)
    kept.location = "a/b.bin"
    kept.write(1)
    assert not kept.exists("a")


@pytest.mark.parametrize("location", ["../up.bin", "a/../../up.bin", "/etc/up.bin", "a/..", "", ".", "a\0b"])
def test_a_location_cannot_leave_its_store(kept: Result, location: str, tmp_path: Path) -> None:
    kept.location = location
    for use in (lambda: kept.write(1), lambda: kept.read(location), lambda: kept.exists(location)):
        with pytest.raises(FlowError, match="is not inside its store"):
            use()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_value_that_is_put_into_a_location_cannot_leave_the_store_either(kept: Result) -> None:
    kept.location = "{flow_name}/x.bin"
    with pytest.raises(FlowError, match="is not inside its store"):
        kept.write(1, flow_name="../..")


def test_a_value_that_cannot_be_written_leaves_what_was_there(kept: Result) -> None:
    kept.location = "x.bin"
    kept.write("old")
    with pytest.raises(SerializerError, match="PickleSerializer cannot write a value of type lock"):
        kept.write(threading.Lock())
    assert kept.read("x.bin").value == "old"


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\xff" * 20])
def test_a_damaged_value_says_where_it_is(kept: Result, damage: Any) -> None:
    kept.location = "x.bin"
    kept.write(list(range(100)))
    store = kept.store()
    store.write_bytes("x.bin", damage(store.read_bytes("x.bin")))
    with pytest.raises(StoreError, match=r'"x.bin" in .* cannot be read: PickleSerializer cannot read') as caught:
        kept.read("x.bin")
    assert not isinstance(caught.value, MissingError)


@pytest.mark.parametrize("kind", ["folder", "file url"])
def test_a_reader_never_sees_half_a_value(kind: str, tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path)) if kind == "folder" else FsspecStore(f"file://{tmp_path}")
    store.write_bytes("x", b"a" * 2_000_000)
    done = threading.Event()

    def write() -> None:
        for letter in b"bcdefghijk" * 2:
            store.write_bytes("x", bytes([letter]) * 2_000_000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        data = store.read_bytes("x")
        seen.append((len(data), len(set(data[::1000]))))
    writer.join()
    assert set(seen) == {(2_000_000, 1)}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_write_that_fails_half_way_leaves_the_old_value_and_nothing_else(tmp_path: Path) -> None:
    LocalResult(tmp_path, location="x.bin").write("old")
    code = f"""
import resource
from headwater.results import Backoff, StoreError, store_at
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for place in ({str(tmp_path)!r}, "file://" + {str(tmp_path)!r}):
    try:
        store_at(place, backoff=Backoff(attempts=2, first_wait_seconds=0)).write_bytes("x.bin", b"n" * 100_000)
    except StoreError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count(f'Writing "x.bin" in {tmp_path} failed 2 times (OSError: [Errno 27] File too large)') == 2
    assert LocalResult(tmp_path).read("x.bin").value == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_another_process_reads_what_one_has_written(tmp_path: Path) -> None:
    written = LocalResult(tmp_path, serializer=CompressedSerializer(JSONSerializer(), "lzma")).write({"a": [1, None]})
    (tmp_path / "result.pickle").write_bytes(pickle.dumps(written.from_value(None)))
    code = (
        "import pickle, pathlib, sys; r = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "print(r.read(r.final_location()).value)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "result.pickle"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{'a': [1, None]}\n", "")


# --- stores that fail ---------------------------------------------------------------------------


class Flaky(MemoryStore):
    """A store whose first uses fail."""

    def __init__(self, error: Exception, failures: int) -> None:
        super().__init__()
        self.error, self.failures, self.tries = error, failures, 0

    def write_bytes(self, location: str, data: bytes) -> None:
        self.fail()
        super().write_bytes(location, data)

    def read_bytes(self, location: str) -> bytes:
        self.fail()
        return super().read_bytes(location)

    def fail(self) -> None:
        self.tries += 1
        if self.tries <= self.failures:
            raise self.error


class KeptIn(Result):
    """A result in any store."""

    def __init__(self, inner: MemoryStore, backoff: Backoff = AT_ONCE) -> None:
        super().__init__(location="x.bin")
        self.inner = inner
        self.backoff = backoff

    def store(self) -> Any:
        return Retried(self.inner, self.backoff)


def test_a_store_that_fails_twice_is_tried_again() -> None:
    store = Flaky(ConnectionError("reset"), failures=2)
    written = KeptIn(store).write(7)
    assert store.tries == 3
    assert KeptIn(store).read(written.final_location()).value == 7


def test_a_read_is_tried_again_too() -> None:
    store = Flaky(TimeoutError("slow"), failures=2)
    MemoryStore.write_bytes(store, "x.bin", PickleSerializer().serialize(7))
    assert KeptIn(store).read("x.bin").value == 7


def test_a_store_that_stays_away_is_named_with_its_own_error() -> None:
    away = ConnectionRefusedError("nobody there")
    store = Flaky(away, failures=99)
    with pytest.raises(StoreError) as caught:
        KeptIn(store).write(7)
    assert str(caught.value) == (
        'Writing "x.bin" in memory failed 4 times (ConnectionRefusedError: nobody there); '
        "check that the store is there, and what this process may do in it."
    )
    assert caught.value.__cause__ is away
    assert isinstance(caught.value, HeadwaterError)
    assert store.tries == 4


@pytest.mark.parametrize("error", [PermissionError("no"), FileNotFoundError("no bucket"), ValueError("bad key")])
def test_what_no_second_try_mends_is_tried_once(error: Exception) -> None:
    store = Flaky(error, failures=99)
    with pytest.raises(StoreError, match=r'Writing "x.bin" in memory failed \('):
        KeptIn(store).write(7)
    assert store.tries == 1


def test_an_interrupt_is_not_held_back() -> None:
    store = Flaky(KeyboardInterrupt(), failures=99)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        KeptIn(store).write(7)
    assert store.tries == 1


class FlakyFileSystem(MemoryFileSystem):
    """fsspec's memory, whose first writes fail."""

    protocol = "flaky"
    store: dict[str, Any] = {}  # noqa: RUF012  # as in the class above
    failures = 0

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        if FlakyFileSystem.failures:
            FlakyFileSystem.failures -= 1
            raise OSError("503 Slow Down")
        super().pipe_file(path, value, **kwargs)


def test_a_filesystem_of_fsspec_is_tried_again() -> None:
    fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)
    result = FsspecResult("flaky://bucket", location="x.bin", backoff=AT_ONCE)
    FlakyFileSystem.failures = 2
    assert result.read(result.write(7).final_location()).value == 7
    FlakyFileSystem.failures = 4
    with pytest.raises(StoreError, match=r'Writing "x.bin" in flaky://bucket failed 4 times \(OSError: 503 Slow Down'):
        result.write(8)


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{free.getsockname()[1]}/data"
    result = FsspecResult(url, backoff=Backoff(attempts=2, first_wait_seconds=0))
    with pytest.raises(StoreError, match=r'Reading "x.bin" in http://\*\*\*@127.0.0.1:\d+/data failed 2 times'):
        result.read("x.bin")


def test_a_filesystem_that_does_not_answer_is_not_an_empty_one() -> None:
    class Mute(MemoryFileSystem):
        protocol = "mute"

        def info(self, path: str, **kwargs: Any) -> Any:
            raise OSError("no answer")

    fsspec.register_implementation("mute", Mute, clobber=True)
    with pytest.raises(StoreError, match=r'Looking for "x.bin" in mute://bucket failed 4 times'):
        FsspecResult("mute://bucket", backoff=AT_ONCE).exists("x.bin")


@pytest.mark.parametrize(
    ("missing", "url", "words"),
    [
        ("s3fs", "s3://bucket", r"s3://bucket cannot be reached: a package for s3:// is not installed here .*s3fs"),
        ("gcsfs", "gs://bucket", r"gs://bucket cannot be reached: a package for gs:// is not installed here .*gcsfs"),
        ("fsspec.core", "memory://x", r"a package for memory:// is not installed here .*fsspec"),
        (None, "nosuch://x", r"nosuch://x cannot be reached \(Protocol not known: nosuch\)"),
    ],
)
def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, missing: str | None, url: str, words: str) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(StoreError, match=words):
        FsspecResult(url).write(1)


# --- settings -----------------------------------------------------------------------------------


def test_a_local_result_is_by_default_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    LocalResult(location="x.bin").write(1)
    assert (tmp_path / ".headwater" / "results" / "x.bin").is_file()


def test_a_folder_is_fixed_when_the_flow_is_built_unless_told_not_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    fixed, moving = LocalResult("r", location="x"), LocalResult("r", validate_dir=False, location="x")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    fixed.write(1)
    moving.write(2)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("x")) == ["elsewhere/r/x", "r/x"]


def test_an_s3_result_is_short_for_its_url() -> None:
    options = {"endpoint_url": "http://127.0.0.1:9000", "secret": "s3cret"}
    result = S3Result("bucket", "etl/daily/", options, location="x.bin")
    assert (result.url, result.storage_options) == ("s3://bucket/etl/daily", options)
    assert S3Result("bucket").url == "s3://bucket"
    assert "s3cret" not in repr(result)
    assert "s3cret" not in repr(result.store())


def test_an_inline_result_keeps_the_value_in_its_location() -> None:
    written = InlineResult().write({"rows": 3, "ok": True})
    assert written.location == '{"rows": 3, "ok": true}'
    assert InlineResult().read('{"rows": 3, "ok": true}') == written
    assert written.write([1]).location == "[1]"
    assert InlineResult().exists("[1]")
    assert not InlineResult().exists("{flow_name}.bin")


def test_an_inline_result_names_its_limit() -> None:
    assert InlineResult(max_bytes=12).write("0123456789").value == "0123456789"
    with pytest.raises(SerializerError, match=r"takes 13 bytes as JSON, and this InlineResult holds at most 12 \(max"):
        InlineResult(max_bytes=12).write("0123456789a")


def test_a_constant_result_is_its_value_everywhere() -> None:
    constant = ConstantResult(5)
    assert constant.read("anywhere").value == 5
    assert constant.exists("anywhere")


def test_copies_do_not_share_changes() -> None:
    result = LocalResult(location="x.bin")
    assert result.copy() == result
    assert result.from_value(3).value == 3
    assert result.value is None
    assert result.format().location == "x.bin"


@pytest.mark.parametrize(
    "result",
    [
        Result(3),
        LocalResult("/data", location="{task_name}"),
        LocalResult("/data", serializer=JSONSerializer()),
        FsspecResult("memory://x", {"a": 1}),
        S3Result("bucket", "p"),
        ConstantResult(4),
        InlineResult(),
        InlineResult(max_bytes=5),
    ],
    ids=repr,
)
def test_results_are_pickled_and_compared_by_what_they_say(result: Result) -> None:
    assert pickle.loads(pickle.dumps(result)) == result
    assert cloudpickle.loads(cloudpickle.dumps(result.from_value([1]))) == result.from_value([1])
    assert result.from_value([1]) != result.from_value([2])
    others = [Result(9), LocalResult("/elsewhere"), FsspecResult("memory://y"), S3Result("other"), InlineResult(1)]
    assert all(result != other for other in others)


# --- locations ----------------------------------------------------------------------------------


def test_locations_can_name_the_day_and_values_replace_what_is_known() -> None:
    now = datetime(2030, 1, 31, 5, tzinfo=UTC)
    assert format_location("{date:%Y}/{today}", date=now, today="T") == "2030/T"
    assert format_location("{today}") in {(datetime.now(UTC) - timedelta(days=d)).date().isoformat() for d in (0, 1)}
    assert format_location("{uuid}") != format_location("{uuid}")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            "{flow_nme}.bin",
            r"\"\{flow_nme\}.bin\" cannot be filled in: 'flow_nme' is not known here; it can use date, flow_name",
        ),
        ("{}.bin", "cannot be filled in: .*positional.*names in braces"),
        ("{flow_name", "cannot be filled in"),
        ("{flow_name.nope}", "cannot be filled in: .*nope"),
        ("{flow_name:%d}", "cannot be filled in"),
        (lambda day, **_: day, 'function "<lambda>" raised TypeError: .*day.*called with date, flow_name, today, uuid'),
        (lambda **_: Path("x"), "returned PosixPath.*return text"),
    ],
)
def test_a_location_that_cannot_be_made_says_why(location: Any, words: str) -> None:
    with pytest.raises(FlowError, match=words):
        format_location(location, flow_name="etl")


# --- serializers --------------------------------------------------------------------------------


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("serializer", "value"),
    [
        (PickleSerializer(), Point(3)),
        (JSONSerializer(), {"a": [1, 2.5, None, "ü"]}),
        (DateTimeSerializer(), datetime(2030, 1, 31, 5, 6, 7, 8, tzinfo=timezone(timedelta(hours=2)))),
        (DateTimeSerializer(), datetime(2030, 1, 31)),  # noqa: DTZ001  # without a time zone, on purpose
        (CompressedSerializer(PickleSerializer()), Point(3)),
        *((CompressedSerializer(JSONSerializer(), c), ["a"] * 999) for c in ("lzma", "gzip", "zlib", "bz2")),
    ],
    ids=repr,
)
def test_a_serializer_reads_what_it_wrote(serializer: Any, value: Any) -> None:
    data = serializer.serialize(value)
    assert serializer.deserialize(data) == value
    assert serializer.serialize(value) == data
    with pytest.raises(SerializerError, match="cannot read the bytes"):
        serializer.deserialize(b"\x00not of its making")


def test_a_function_made_here_is_pickled_whole() -> None:
    n = 3
    serializer = PickleSerializer()
    assert serializer.deserialize(serializer.serialize(lambda x: x + n))(4) == 7


def test_compressed_bytes_are_smaller() -> None:
    sizes = {
        c: len(CompressedSerializer(JSONSerializer(), c).serialize("a" * 9999)) for c in ("lzma", "gzip", "zlib", "bz2")
    }
    assert all(size < 500 for size in sizes.values())


def test_serializers_are_equal_by_type_and_settings() -> None:
    assert PickleSerializer() == PickleSerializer() != JSONSerializer()
    assert CompressedSerializer(JSONSerializer(), "bz2") == CompressedSerializer(JSONSerializer(), "bz2")
    assert CompressedSerializer(JSONSerializer(), "bz2") != CompressedSerializer(JSONSerializer(), "zlib")
    assert CompressedSerializer(JSONSerializer()) != CompressedSerializer(PickleSerializer())
    assert PandasSerializer("csv") != PandasSerializer("csv", serialize_kwargs={"index": False})
    assert len({PickleSerializer(), PickleSerializer(), PandasSerializer("csv"), PandasSerializer("csv")}) == 2


def test_pandas_is_asked_for_only_when_needed_and_named_when_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    serializer = PandasSerializer("csv")
    for use in (lambda: serializer.serialize([1]), lambda: serializer.deserialize(b"a\n1\n")):
        with pytest.raises(SerializerError, match="needs pandas, which is not installed here"):
            use()


def test_a_data_frame_is_kept_in_the_format_that_was_asked_for(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    result = LocalResult(
        tmp_path, location="f.csv", serializer=PandasSerializer("csv", serialize_kwargs={"index": False})
    )
    assert result.read(result.write(frame).final_location()).value.equals(frame)
    assert (tmp_path / "f.csv").read_text() == "a,b\n1,x\n2,y\n"
    for build in (lambda: PandasSerializer("csv").serialize([1]), lambda: PandasSerializer("cvs").serialize(frame)):
        with pytest.raises(SerializerError, match=r"takes a DataFrame|no file type of it"):
            build()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: LocalResult("s3://bucket"), "takes a folder, not the URL"),
        (lambda: LocalResult(__file__), "is a file; give a folder"),
        (lambda: FsspecResult("bucket/prefix"), "is no URL"),
        (lambda: S3Result("s3://bucket"), "is no bucket"),
        (lambda: S3Result(""), "is no bucket"),
        (lambda: LocalResult(serializer=JSONSerializer), "give an object such as JSONSerializer"),
        (lambda: LocalResult(location=Path("x")), "give a template"),
        (lambda: Result().write(1), "Result has no store to keep values in; use LocalResult"),
        (lambda: LocalResult().final_location(), "no final location yet"),
        (lambda: ConstantResult(1).write(2), "never written"),
        (lambda: InlineResult().write({1, 2}), "JSONSerializer cannot write a value of type set"),
        (lambda: InlineResult().write(float("nan")), "JSONSerializer cannot write a value of type float"),
        (lambda: DateTimeSerializer().serialize("2030"), "takes a datetime; got str"),
        (lambda: CompressedSerializer(PickleSerializer(), "rar"), 'unknown compression "rar"; give one of bz2, gzip'),
        (lambda: CompressedSerializer(PickleSerializer, "bz2"), "takes a serializer"),
        (lambda: PandasSerializer("to csv"), "is no file type"),
        (lambda: store_at(3), "3 is no store"),
    ],
)
def test_wrong_settings_say_what_to_do(build: Any, words: str) -> None:
    with pytest.raises(FlowError, match=words):
        build()


def test_importing_results_loads_nothing_heavy() -> None:
    code = "import headwater.results, sys; print([m for m in ('fsspec', 'tenacity', 'asyncio', 'pandas', 'dask') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
