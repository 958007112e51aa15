"""Targets, caches and checkpoints in flows: results of earlier runs are found, and only where a task says so."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, Parameter, task
from headwater.executors import LocalDaskExecutor, LocalExecutor
from headwater.results import FsspecResult, JSONSerializer, LocalResult, StoreError, duration_only
from headwater.states import Cached, Failed, Success
from headwater.triggers import all_failed

EXECUTORS = [LocalExecutor(), LocalDaskExecutor("processes", num_workers=2)]


def counting(folder: Path, **options: Any) -> Any:
    """A task that leaves a line in a file each time that it runs."""
    log = str(folder / "runs")

    @task(**options)
    def extract(x: int) -> int:
        with open(log, "a") as out:  # noqa: PTH123  # it may run in another process
            out.write(f"{x}\n")
        return x * 10

    return extract


def runs(folder: Path) -> list[str]:
    log = folder / "runs"
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("executor", EXECUTORS, ids=str)
def test_a_cached_task_runs_once_per_input(tmp_path: Path, executor: Any) -> None:
    extract = counting(tmp_path, cache_for=timedelta(hours=1))
    with Flow("f", result=LocalResult(str(tmp_path / "store"))) as flow:
        found = extract(Parameter("x"))
    assert isinstance(flow.run(x=1, executor=executor).result[found], Success)
    again = flow.run(x=1, executor=executor).result[found]
    assert isinstance(again, Cached)
    assert again.result == 10
    assert flow.run(x=2, executor=executor).result[found].result == 20
    assert runs(tmp_path) == ["1", "2"]


def test_nothing_is_cached_unless_a_task_says_so(tmp_path: Path) -> None:
    extract = counting(tmp_path)
    with Flow("f", result=LocalResult(str(tmp_path / "store"))) as flow:
        extract(1)
    flow.run()
    flow.run()
    assert runs(tmp_path) == ["1", "1"]
    assert not (tmp_path / "store").exists()


def test_another_process_finds_what_was_cached(tmp_path: Path) -> None:
    script = tmp_path / "flow.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from datetime import timedelta
            from headwater import Flow, task
            from headwater.results import LocalResult

            @task(cache_for=timedelta(hours=1))
            def slow(x):
                return x + 1

            with Flow("f", result=LocalResult({str(tmp_path / "store")!r})) as flow:
                found = slow(1)

            print("STATE", flow.run().result[found].name)
            """
        )
    )
    said = [
        subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["STATE Success", "STATE Cached"]


def test_a_cache_hit_comes_before_the_trigger(tmp_path: Path) -> None:
    extract = counting(tmp_path, cache_for=timedelta(hours=1))

    @task
    def good() -> None: ...

    with Flow("f", result=LocalResult(str(tmp_path / "store"))) as flow:
        found = extract(1, upstream_tasks=[good()])
    flow.run()
    found.trigger = all_failed
    assert isinstance(flow.run().result[found], Cached)


def test_a_user_may_ask_for_less(tmp_path: Path) -> None:
    extract = counting(tmp_path, cache_for=timedelta(hours=1), cache_validator=duration_only)
    with Flow("f", result=LocalResult(str(tmp_path / "store"))) as flow:
        found = extract(Parameter("x"))
    flow.run(x=1)
    assert flow.run(x=2).result[found].result == 10


@pytest.mark.parametrize("executor", EXECUTORS, ids=str)
def test_a_target_that_exists_is_the_result(tmp_path: Path, executor: Any) -> None:
    store = LocalResult(str(tmp_path / "store"), serializer=JSONSerializer())
    extract = counting(tmp_path, target="{flow_name}/{task_name}-{x}-{day}.json", result=store)
    with Flow("f") as flow:
        found = extract.map([1, 2])
        Parameter("day", default="monday")
    flow.run(executor=executor)
    assert (tmp_path / "store/f/extract-2-monday.json").read_text() == "20"
    states = flow.run(executor=executor).result[found]
    assert [state.name for state in states.map_states] == ["Cached", "Cached"]
    assert states.result == [10, 20]
    assert states.map_states[0].message == 'Result found at task target "f/extract-1-monday.json".'
    flow.run(day="tuesday", executor=executor)
    assert sorted(runs(tmp_path)) == ["1", "1", "2", "2"]


def test_checkpoints_are_written_where_the_result_says(tmp_path: Path) -> None:
    extract = counting(
        tmp_path, checkpoint=True, result=LocalResult(str(tmp_path / "store"), location="{task_slug}.bin")
    )
    with Flow("f") as flow:
        extract(4)
    flow.run()
    assert LocalResult(str(tmp_path / "store")).read("extract-1.bin").value == 40
    flow.run()
    assert runs(tmp_path) == ["4", "4"], "a checkpoint alone is not looked for"


def test_a_store_that_is_away_fails_the_task_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder has to be")
    extract = counting(tmp_path, target="x.bin", result=FsspecResult(f"file://{tmp_path}/store"))
    with Flow("f") as flow:
        found = extract(1)
    state = flow.run().result[found]
    assert isinstance(state, Failed)
    assert isinstance(state.result, StoreError)
    assert "could not be stored" in str(state.message)


def test_a_target_with_an_unknown_name_says_which(tmp_path: Path) -> None:
    extract = counting(tmp_path, target="{airport}.bin", result=LocalResult(str(tmp_path / "store")))
    with Flow("f") as flow:
        found = extract(1)
    state = flow.run().result[found]
    assert isinstance(state, Failed)
    assert "airport" in str(state.message)
    assert runs(tmp_path) == []
