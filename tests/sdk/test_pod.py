"""What runs in a flow's pods, as far as it needs no cluster: report, reporter, handover, lines, inspection."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import os
import runpy
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, Parameter, task
from headwater.core.errors import ClusterError
from headwater.core.parameter import parameters_schema
from headwater.core.states import Failed, Paused, Success
from headwater.engine.drive import Drive
from headwater.engine.events import PauseAnswered, RunBegan, TaskCrashed, TaskEnded, TaskStarted
from headwater.engine.machine import Run, step
from headwater.engine.plan import make_plan
from headwater.executors import LocalExecutor
from headwater.executors.program import RunInfo
from headwater.pod import process
from headwater.pod.api import AnswerError, PodApi
from headwater.pod.handover import Handover, HandoverError, read_handover
from headwater.pod.inspect import GRAPH_BYTES, graph_of
from headwater.pod.lines import MAX_LINES, LineBuffer, Tee
from headwater.pod.report import MAX_TASKS, TASKS_BYTES, final_report, status_of, task_entries, verdict
from headwater.pod.reporter import Reporter
from headwater.resources.conditions import RunState
from headwater.results import Address, InlineResult

POD = Path(process.__file__).parent


@task
def extract(n: int) -> int:
    return n


@task
def load(x: int) -> None: ...


def wide(n: int) -> Flow:
    with Flow("wide") as flow:
        for i in range(n):
            extract(i)
    return flow


def small() -> Run:
    with Flow("f") as flow:
        rows = extract(Parameter("n", default=1))
        load(rows)
        load(rows)
    run = Run(make_plan(flow), keep_results=False)
    step(run, RunBegan(1000.0, {"n": 1}))
    return run


def test_a_run_whose_first_task_waits_for_a_person_has_begun() -> None:
    run = small()
    assert "timeline" not in status_of(run)
    step(run, TaskEnded(1, 1, 1002.0, Paused("ship it?")))
    begun = {"firstTaskAt": "1970-01-01T00:16:42.000000Z"}
    assert status_of(run)["timeline"] == begun
    step(run, PauseAnswered(1, 1, 1003.0, approved=True))
    assert status_of(run)["timeline"] == begun, "also while nothing is paused any more and nothing runs yet"
    step(run, TaskStarted(1, 2, 1004.0))
    assert status_of(run)["timeline"] == begun


def test_a_status_shows_tasks_progress_and_the_first_start() -> None:
    run = small()
    step(run, TaskStarted(1, 1, 1001.5))
    step(run, TaskEnded(1, 1, 1002.0, Success(), "ref"))
    step(run, TaskStarted(2, 1, 1002.5))
    assert status_of(run) == {
        "tasks": [
            {
                "name": "extract",
                "state": "Success",
                "startedAt": "1970-01-01T00:16:41.500000Z",
                "finishedAt": "1970-01-01T00:16:42.000000Z",
                "runs": 1,
            },
            {"name": "load-1", "state": "Running", "startedAt": "1970-01-01T00:16:42.500000Z", "runs": 1},
            {"name": "load-2", "state": "Pending", "runs": 1},
        ],
        "progress": {
            "text": "1/3",
            "total": 3,
            "success": 1,
            "running": 1,
            "pending": 1,
            "failed": 0,
            "retrying": 0,
            "skipped": 0,
            "cached": 0,
            "paused": 0,
            "cancelled": 0,
        },
        "timeline": {"firstTaskAt": "1970-01-01T00:16:41.500000Z"},
    }


def test_the_verdict_names_the_cause_not_what_followed_from_it() -> None:
    run = small()
    step(run, TaskEnded(1, 1, 1002.0, Failed("ValueError: no such airport")))
    assert verdict(run) == (RunState.FAILED, 'Task "extract" failed: ValueError: no such airport')
    run = small()
    step(run, TaskEnded(1, 1, 1002.0, Success(), "ref"))
    step(run, TaskCrashed(2, 1, 1003.0, "the worker went away"))
    step(run, TaskEnded(3, 1, 1004.0, Failed("E: e")))
    assert verdict(run) == (
        RunState.FAILED,
        'Task "load-1" crashed: the worker went away (1 more failed by themselves)',
    )
    run = small()
    for i in (1, 2, 3):
        step(run, TaskEnded(i, 1, 1002.0, Success(), "ref"))
    assert verdict(run) == (RunState.SUCCESS, "All 3 tasks succeeded")


@pytest.mark.parametrize("failed", [0, 10, 5000])
def test_a_status_is_bounded_whatever_the_flow(failed: int) -> None:
    run = Run(make_plan(wide(5000)))
    step(run, RunBegan(0.0, {}))
    for i in range(5000):
        step(run, TaskStarted(i, 1, 1.0))
        if i < failed:
            step(run, TaskEnded(i, 1, 2.0, Failed("ValueError: " + "x" * 1000)))
        else:
            step(run, TaskEnded(i, 1, 2.0, Success(), i))
    entries = task_entries(run)
    assert len(entries) <= MAX_TASKS
    assert len(json.dumps(entries)) <= TASKS_BYTES
    shown = [entry for entry in entries if entry["state"] == "Failed"]
    assert len(shown) == 10 if failed == 10 else bool(shown) == bool(failed)
    assert status_of(run)["progress"]["failed"] == failed


def test_a_mapped_task_is_counted_and_its_failed_children_named() -> None:
    with Flow("f") as flow:
        load.map(extract(3))
    run = Run(make_plan(flow), keep_results=False)
    step(run, RunBegan(0.0, {}))
    step(run, TaskEnded(0, 1, 1.0, Success(), "ref", 60))
    for i in range(58):
        step(run, TaskStarted(1, 1, 2.0, i))
        step(run, TaskEnded(1, 1, 3.0, Failed(f"ValueError: {i}") if i < 55 else Success(), map_index=i))
    status = status_of(run)
    counts = {"total": 60, "success": 3, "running": 0, "pending": 2, "failed": 55, "retrying": 0}
    counts |= {"paused": 0, "cancelled": 0}
    assert status["progress"] == {"text": "59/61", **counts, "total": 61, "success": 4, "skipped": 0, "cached": 0}
    entry = status["tasks"][1]
    assert (entry["state"], entry["startedAt"]) == ("Running", "1970-01-01T00:00:02.000000Z")
    assert entry["mapped"] == {**counts, "skipped": 0, "cached": 0}
    assert len(entry["failedChildren"]) == 50
    assert entry["failedChildren"][7] == {"index": 7, "message": "ValueError: 7"}
    for i in (58, 59):
        step(run, TaskEnded(1, 1, 4.0, Success(), map_index=i))
    assert status_of(run)["tasks"][1]["state"] == "Mapped"
    words = 'Task "load[0]" failed: ValueError: 0 (54 more failed by themselves)'
    assert verdict(run) == (RunState.FAILED, words)


def test_a_graph_names_upstreams_by_slug_and_leaves_parameters_to_the_schema() -> None:
    with Flow("f") as flow:
        n = Parameter("n", default=1)
        p = Parameter("radius")
        rows = extract(n)
        load(rows, upstream_tasks=[p])
        load.map(rows, task_args={"name": "each"})
    assert graph_of(flow) == {
        "counts": {"tasks": 3, "edges": 2},
        "tasks": [
            {"name": "extract", "slug": "extract-1", "upstream": []},
            {"name": "load", "slug": "load-1", "upstream": ["extract-1"]},
            {"name": "each", "slug": "each-1", "upstream": ["extract-1"], "mapped": True},
        ],
    }
    assert parameters_schema(flow.parameters()) == {
        "type": "object",
        "properties": {"n": {"default": 1}, "radius": {}},
        "required": ["radius"],
        "additionalProperties": False,
    }


def test_a_graph_too_large_for_a_status_is_counted() -> None:
    graph = graph_of(wide(8000))
    assert graph == {"counts": {"tasks": 8000, "edges": 0}}
    assert len(json.dumps(graph_of(wide(1000)))) < GRAPH_BYTES


# The reporter


class Recorder:
    """Stands where the API server does: takes patches, and fails as it is told."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.patches: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()

    def patch(self, status: dict[str, Any]) -> None:
        with self.lock:
            if self.failures:
                code = self.failures.pop(0)
                raise AnswerError(f"answered {code}", status=code) if code else ClusterError("no answer")
            self.patches.append(status)
            self.times.append(time.monotonic())


def test_the_reporter_writes_the_newest_at_most_once_a_second_and_the_last_at_once() -> None:
    api = Recorder()
    reporter = Reporter(api)  # type: ignore[arg-type]
    began = time.monotonic()
    for i in range(50):
        reporter.put({"n": i})
        time.sleep(0.002)
    assert reporter.close({"last": True})
    assert time.monotonic() - began < 1.0
    assert api.patches[-1] == {"last": True}
    assert len(api.patches) == 2, "what came in between was replaced by what came later"


@pytest.mark.parametrize("codes", [(500, 429, 409), (0,), (403,)])
def test_the_reporter_repeats_what_may_yet_succeed(codes: tuple[int, ...]) -> None:
    api = Recorder(*codes)
    reporter = Reporter(api)  # type: ignore[arg-type]
    assert reporter.close({"last": True})
    assert api.patches == [{"last": True}]


def test_the_reporter_gives_up_on_what_cannot_succeed() -> None:
    api = Recorder(422, 422)
    reporter = Reporter(api)  # type: ignore[arg-type]
    reporter.put({"n": 1})
    assert not reporter.close({"last": True})
    assert api.patches == []


# The handover


def handover(**more: Any) -> Handover:
    return Handover(
        run="etl-1", namespace="sales", flow="etl", version="etl-v1", attempt=1, entrypoint="flow.py:flow", **more
    )


def test_the_handover_comes_back_as_it_was_written(tmp_path: Path) -> None:
    given = handover(parameters={"airport": "ZRH", "n": [1, None]}, provisioner="InProcess", tls=False)
    (tmp_path / "run.json").write_text(given.to_json())
    assert read_handover(tmp_path) == given


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ('{"schema": 2}', "speaks schema 2 of run.json and this flow image speaks 1: upgrade the flow image"),
        ('{"schema": 0}', "upgrade the operator"),
        ("{}", "upgrade the operator"),
    ],
)
def test_a_handover_of_another_time_is_refused_in_words(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(HandoverError, match=words):
        read_handover(tmp_path)


# Lines


def test_lines_are_kept_whole_and_written_through() -> None:
    buffer, out = LineBuffer(), io.StringIO()
    tee = Tee(out, buffer)
    print("one", "two", file=tee)
    tee.write("thr")
    assert buffer.take() == ["one two"]
    tee.write("ee\nfour\n")
    assert buffer.take() == ["three", "four"]
    assert buffer.take() == []
    assert out.getvalue() == "one two\nthree\nfour\n"


def test_a_flood_of_lines_is_bounded_and_says_so() -> None:
    buffer = LineBuffer()
    buffer.add([str(i) for i in range(MAX_LINES + 5)])
    lines = buffer.take()
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == "... 5 more lines in the worker's own log"


def test_a_last_word_fits_where_the_kubelet_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TERMINATION_LOG", tmp_path / "log")
    process.leave_word(final_report(RunState.FAILED, "é" * 10_000, 0.0))
    text = (tmp_path / "log").read_text()
    assert len(text.encode()) <= 4096
    assert json.loads(text)["state"] == "Failed"


def test_where_results_are_stored_is_told_as_far_as_there_is_place() -> None:
    kept = extract.copy(checkpoint=True, result=InlineResult())
    with Flow("kept") as flow:
        kept(1)
        kept(2)
        kept.map([3, 4])
        extract(5)
    run = Run(make_plan(flow))
    LocalExecutor().execute(flow, Drive(run), RunInfo("kept", "kept-1", {}))
    entries = {entry.get("slug", entry["name"]): entry for entry in task_entries(run)}
    assert entries["extract-1"]["result"] == {"url": "data:application/json,1", "serializer": "json"}
    assert [each["index"] for each in entries["extract-3"]["results"]] == [0, 1]
    assert "result" not in entries["extract-4"]
    for task_run in run.tasks:
        if task_run.stored is not None:
            task_run.stored = Address("data:," + "x" * 2000, "json")
    assert not any("result" in entry for entry in task_entries(run))


def test_a_newer_operator_may_tell_a_pod_more(tmp_path: Path) -> None:
    told = json.loads(Handover("r", "n", "f", "f-v1", 1, "flow.py:flow", title="Monday").to_json())
    (tmp_path / "run.json").write_text(json.dumps({**told, "news": 1}))
    assert read_handover(tmp_path).title == "Monday"


class Answer:
    status, data = 200, b"{}"


def test_the_runner_names_itself_as_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setattr("headwater.pod.api.TOKEN_FOLDER", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    sent: list[dict[str, Any]] = []

    class Pool:
        def request(self, *_: Any, **options: Any) -> Answer:
            sent.append(options["headers"])
            return Answer()

    api = PodApi()
    api._pool = Pool()  # type: ignore[assignment]
    api.request("PATCH", "etl/flowruns/etl-1/status", {"status": {}})
    assert (sent[0]["User-Agent"], sent[0]["Authorization"]) == ("headwater-runner", "Bearer secret")


@pytest.mark.parametrize("pid", [1, 7])
def test_a_pod_can_be_stopped_while_it_starts(monkeypatch: pytest.MonkeyPatch, pid: int) -> None:
    """As process 1 it must say so itself; elsewhere a signal stops it anyway, and whoever imports this is left alone."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(os, "getpid", lambda: pid)
    try:
        runpy.run_path(str(POD / "early.py"))
        assert (signal.getsignal(signal.SIGTERM) is not before) == (pid == 1)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("program", ["execute", "worker", "inspect"])
def test_a_pods_program_listens_before_its_imports(program: str) -> None:
    body = ast.parse((POD / f"{program}.py").read_text()).body
    imports = [ast.unparse(one) for one in body if isinstance(one, ast.Import | ast.ImportFrom)]
    assert imports[:2] == ["from __future__ import annotations", "import headwater.pod.early"]


def test_whoever_wants_to_know_hears_of_workers_that_come_and_go() -> None:
    heard: list[int] = []

    async def play() -> None:
        from distributed import Scheduler, Worker

        from headwater.pod.workers import Comings

        async with Scheduler(port=0, dashboard=False) as scheduler:
            scheduler.add_plugin(Comings(lambda: heard.append(scheduler.total_nthreads)))
            async with Worker(scheduler.address, nthreads=2, dashboard=False):
                assert heard == [2]

    asyncio.run(play())
    assert heard == [2, 0]
