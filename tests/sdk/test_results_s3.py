"""Results in S3: against a real endpoint on this machine, `rclone serve s3` of tests/s3."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, Parameter, task
from headwater.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from headwater.results import (
    Backoff,
    CompressedSerializer,
    FsspecResult,
    JSONSerializer,
    MissingError,
    PickleSerializer,
    S3Result,
    StoreError,
    address_of,
    read_address,
)

KEY, SECRET = "headwater", "an-s3-secret"
ONCE = Backoff(attempts=1)


@dataclass(frozen=True)
class Endpoint:
    url: str
    folder: Path

    @property
    def options(self) -> dict[str, Any]:
        return {"endpoint_url": self.url, "key": KEY, "secret": SECRET}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An S3 endpoint with a bucket "results". It is built when it is not there: a test without it has failed."""
    script = Path(__file__).parents[2] / "scripts" / "go-program"
    program = subprocess.run([script, "tests/s3"], check=True, capture_output=True, text=True).stdout.strip()
    folder = tmp_path_factory.mktemp("s3")
    (folder / "results").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)}) as server:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None, "the endpoint has ended"
                assert time.monotonic() < deadline, "the endpoint does not begin"
                time.sleep(0.05)
        yield Endpoint(f"http://127.0.0.1:{port}", folder)
        server.terminate()


@pytest.fixture(autouse=True)
def no_other_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own settings counts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("serializer", [PickleSerializer(), CompressedSerializer(JSONSerializer())])
def test_a_result_is_written_found_and_read(endpoint: Endpoint, serializer: Any) -> None:
    result = S3Result("results", "etl", endpoint.options, location="{airport}/rows {n}.bin", serializer=serializer)
    name = type(serializer).__name__
    written = result.write({"rows": [1, 2]}, airport=name, n=1)
    assert written.location == f"{name}/rows 1.bin"
    assert (endpoint.folder / "results" / "etl" / name / "rows 1.bin").is_file()
    assert result.exists(written.location)
    assert not result.exists(f"{name}/rows 2.bin")
    assert result.read(written.location).value == {"rows": [1, 2]}
    result.store().delete(written.location)
    with pytest.raises(MissingError, match="Nothing is stored"):
        result.read(written.location)


def test_a_large_result_goes_in_parts_and_comes_back_whole(endpoint: Endpoint) -> None:
    data = os.urandom(1 << 20) * 70
    # This endpoint tells the checksum of one part as that of the whole; the value is compared here anyway.
    options = {**endpoint.options, "config_kwargs": {"response_checksum_validation": "when_required"}}
    written = FsspecResult("s3://results/large", options).write(data)
    assert FsspecResult("s3://results/large", options).read(written.final_location()).value == data


def test_another_run_reads_it_by_its_address(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    address = address_of(S3Result("results", "shared", endpoint.options, location="a.json").write([1]))
    assert address is not None
    assert address.url == "s3://results/shared/a.json"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert read_address(address) == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bucket": "no-such-bucket"}, "no-such-bucket"),
        ({"secret": "wrong"}, "s3://results"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "s3://results"),
    ],
    ids=["bucket", "secret", "endpoint"],
)
def test_what_is_wrong_with_a_store_is_told_without_secrets(
    endpoint: Endpoint, change: dict[str, str], words: str
) -> None:
    bucket = change.pop("bucket", "results")
    options = {**endpoint.options, "config_kwargs": {"retries": {"max_attempts": 1}}, **change}
    result = FsspecResult(f"s3://{bucket}/x", options, backoff=ONCE)
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        result.write(1)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert time.monotonic() - began < 60


EXECUTORS: dict[str, Callable[[], Any]] = {
    "local": LocalExecutor,
    "processes": lambda: LocalDaskExecutor("processes", num_workers=2),
    "dask": lambda: DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1}),
}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_flows_keep_targets_checkpoints_and_caches_in_s3(endpoint: Endpoint, executor: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    @task(target="{airport}.bin")
    def extract(airport: str) -> list[int]:
        with log.open("a") as file:
            file.write("extract\n")
        return [1, 2, 3]

    @task(checkpoint=True)
    def transform(rows: list[int]) -> int:
        with log.open("a") as file:
            file.write("transform\n")
        return sum(rows)

    @task(cache_for=timedelta(hours=1))
    def load(total: int) -> int:
        with log.open("a") as file:
            file.write("load\n")
        return total * 2

    with Flow("kept", result=S3Result("results", executor, endpoint.options)) as flow:
        rows = extract(Parameter("airport"))
        loaded = load(transform(rows))
    for name in ("Success", "Cached"):
        state = flow.run(airport="ZRH", executor=EXECUTORS[executor]())
        assert state.result[loaded].result == 12
        assert state.result[rows].name == state.result[loaded].name == name
    # Each ran once but for the checkpoint, which is kept and not looked for.
    assert sorted(log.read_text().split()) == ["extract", "load", "transform", "transform"]
    assert (endpoint.folder / "results" / executor / "ZRH.bin").is_file()
