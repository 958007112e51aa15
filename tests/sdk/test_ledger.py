"""The ledger of a run, and runs that go on where an earlier one ended."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, Parameter, resource_manager, task
from headwater.core.errors import ResumeError
from headwater.core.states import Paused, State, Success
from headwater.engine.events import Given, PauseAnswered, RunBegan, TaskEnded
from headwater.engine.ledger import Entry, Ledger, ledger_of
from headwater.engine.machine import Run, step
from headwater.engine.plan import make_plan
from headwater.engine.resume import resume
from headwater.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from headwater.pod import ledgers
from headwater.pod.handover import Handover
from headwater.pod.process import explain
from headwater.pod.wishes import decisions_of, given_by
from headwater.results import LocalResult
from headwater.results.address import NOTHING
from headwater.run import run_flow

EXECUTORS = {
    "local": LocalExecutor,
    "threads": lambda: LocalDaskExecutor(scheduler="threads", num_workers=2),
    "lanes": lambda: DaskExecutor(cluster_kwargs={"n_workers": 1, "processes": False}),
}


class Story:
    """A flow whose task "load" fails for one item until it is mended, and what ran of it."""

    def __init__(self, folder: Path, stored: bool = True) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        note, mended = self._note, self._mended
        log = folder / "log"

        @task
        def extract(n: int) -> list[int]:
            note(log, "extract")
            return list(range(n))

        @task
        def transform(x: int) -> int:
            note(log, f"transform {x}")
            return x * 10

        @task
        def load(x: int) -> int:
            note(log, f"load {x}")
            if x == 20 and not mended(folder):
                raise ValueError("no room")
            return x + 1

        @task
        def total(xs: list[Any]) -> int:
            note(log, "total")
            return sum(xs[0])

        @task
        def report() -> None:
            note(log, "report")

        result = LocalResult(dir=str(folder / "results")) if stored else None
        with Flow("story", result=result) as self.flow:
            done = load.map(transform.map(extract(Parameter("n", default=4))))
            self.total = total([done, 0])
            report()

    @staticmethod
    def _note(log: Path, what: str) -> None:
        with log.open("a") as file:
            file.write(what + "\n")

    @staticmethod
    def _mended(folder: Path) -> bool:
        return (folder / "mended").exists()

    def run(self, executor: str = "local", **options: Any) -> tuple[State, Ledger, Counter[str]]:
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        kept: list[Ledger] = []
        context = {"checkpointing": True}
        state = run_flow(
            self.flow, {}, executor=EXECUTORS[executor](), on_ledger=kept.append, context=context, **options
        )
        # As it would be read by another program.
        data = json.dumps({slug: entry.as_dict() for slug, entry in kept[0].items()})
        ledger = {slug: Entry.from_dict(entry) for slug, entry in json.loads(data).items()}
        assert ledger == kept[0]
        return state, ledger, Counter(log.read_text().splitlines() if log.exists() else [])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_only_what_failed_and_what_follows_it_runs_again(tmp_path: Path, executor: str) -> None:
    story = Story(tmp_path / "story")
    state, ledger, ran = story.run(executor)
    assert state.is_failed()
    assert ran["load 20"] == 1
    assert ran["report"] == 1
    assert ledger["load-1"].children[2].state == "Failed"
    assert "no room" in (ledger["load-1"].children[2].message or "")

    (story.folder / "mended").touch()
    state, again, ran = story.run(executor, resume_from=ledger)
    assert state.is_successful()
    assert state.result[story.total].result == 1 + 11 + 21 + 31
    assert ran == Counter(["load 20", "total"]), "neither what succeeded nor what nobody reads"

    state, _, ran = story.run(executor, resume_from=again)
    assert state.is_successful()
    assert not ran, "all is done"


def test_a_run_that_was_resumed_and_failed_is_resumed_too(tmp_path: Path) -> None:
    story = Story(tmp_path / "story")
    _, ledger, _ = story.run()
    state, again, ran = story.run(resume_from=ledger)
    assert state.is_failed()
    assert ran == Counter(["load 20"])
    assert again["transform-1"] == ledger["transform-1"], "where the results are is handed on"
    assert again["load-1"].children[0] == ledger["load-1"].children[0]

    (story.folder / "mended").touch()
    state, _, ran = story.run(resume_from=again)
    assert state.is_successful()
    assert state.result[story.total].result == 1 + 11 + 21 + 31
    assert ran == Counter(["load 20", "total"])


def test_a_list_that_nobody_wrote_is_made_again(tmp_path: Path) -> None:
    @task
    def number() -> int:
        return 2

    @task
    def shaky(them: list[int]) -> int:
        if not (tmp_path / "mended").exists():
            raise ValueError("not yet")
        return sum(them)

    with Flow("list", result=LocalResult(dir=str(tmp_path / "results"))) as flow:
        value = shaky([number(), number(), 3])
    kept: list[Ledger] = []
    run_flow(flow, {}, on_ledger=kept.append, context={"checkpointing": True})
    (tmp_path / "mended").touch()
    assert run_flow(flow, {}, resume_from=kept[0]).result[value].result == 7


def test_a_resource_is_set_up_again_for_what_runs_again_in_its_block(tmp_path: Path) -> None:
    ran: list[str] = []

    @resource_manager
    class Cluster:
        def __init__(self, size: int) -> None:
            self.size = size

        def setup(self) -> str:
            ran.append("setup")
            if bad[0] == "setup":
                raise ValueError("no room")
            return f"cluster of {self.size}"

        def cleanup(self, resource: str) -> None:
            ran.append(f"cleanup {resource}")

    @task
    def size() -> int:
        ran.append("size")
        return 3

    @task
    def step_by_name(name: str, cluster: str | None = None) -> str:
        ran.append(name)
        if name == bad[0]:
            raise ValueError("not yet")
        return name

    with Flow("block", result=LocalResult(dir=str(tmp_path / "results"))) as flow:
        with Cluster(size()) as cluster:
            first = step_by_name("first", cluster, task_args={"name": "first"})
            second = step_by_name("second", upstream_tasks=[first], task_args={"name": "second"})
        step_by_name("after", upstream_tasks=[second], task_args={"name": "after"})

    def go(fails: str, resume_from: Ledger | None = None) -> Ledger:
        bad[0] = fails
        ran.clear()
        kept: list[Ledger] = []
        run_flow(flow, {}, on_ledger=kept.append, context={"checkpointing": True}, resume_from=resume_from)
        return kept[0]

    bad = [""]
    ledger = go("second")
    assert ran == ["size", "setup", "first", "second", "cleanup cluster of 3"]
    ledger = go("after", ledger)
    assert sorted(ran) == ["after", "cleanup cluster of 3", "second", "setup"]
    assert ran.index("setup") < ran.index("second") < ran.index("cleanup cluster of 3")
    go("", ledger)
    assert ran == ["after"], "nothing in the block"

    ledger = go("second")
    go("setup", ledger)
    assert ran == ["setup"], "what stands behind one that was given does not run without the resource either"


def test_a_task_that_is_named_runs_again_with_what_follows_it(tmp_path: Path) -> None:
    story = Story(tmp_path / "story")
    (tmp_path / "story" / "mended").touch()
    _, ledger, _ = story.run()
    state, _, ran = story.run(resume_from=ledger, resume_again=["load-1"])
    assert state.is_successful()
    assert ran == Counter(["load 0", "load 10", "load 20", "load 30", "total"])
    with pytest.raises(ResumeError, match='The flow has no task "lead-1"'):
        story.run(resume_from=ledger, resume_again=["lead-1"])


def test_what_was_not_stored_is_told_before_anything_runs(tmp_path: Path) -> None:
    story = Story(tmp_path / "story", stored=False)
    _, ledger, _ = story.run()
    with pytest.raises(ResumeError, match=r'The results of "transform\[2\]", .* were not stored'):
        story.run(resume_from=ledger)


def test_a_stored_result_that_is_gone_fails_the_task_that_reads_it(tmp_path: Path) -> None:
    story = Story(tmp_path / "story")
    _, ledger, _ = story.run()
    (story.folder / "mended").touch()
    for file in (story.folder / "results").rglob("*"):
        if file.is_file():
            file.unlink()
    state, _, _ = story.run(resume_from=ledger)
    assert state.is_failed()
    loaded = next(found for task, found in state.result.items() if task.name == "load")
    assert "Nothing is stored at" in (loaded.map_states[2].message or "")


def test_a_task_that_was_mapped_and_is_not_runs_anew(tmp_path: Path) -> None:
    def made(mapped: bool) -> tuple[Flow, Any]:
        @task
        def source() -> list[int]:
            return [1, 2, 3]

        @task
        def middle(x: Any) -> Any:
            return x

        @task
        def end(x: Any) -> Any:
            if not (tmp_path / "mended").exists():
                raise ValueError("not yet")
            return x

        with Flow("shape", result=LocalResult(dir=str(tmp_path / "results"))) as flow:
            last = end(middle.map(source()) if mapped else middle(source()))
        return flow, last

    for before in (True, False):
        (tmp_path / "mended").unlink(missing_ok=True)
        kept: list[Ledger] = []
        run_flow(made(before)[0], {}, on_ledger=kept.append, context={"checkpointing": True})
        (tmp_path / "mended").touch()
        flow, last = made(not before)
        state = run_flow(flow, {}, resume_from=kept[0], context={"checkpointing": True})
        assert state.result[last].result == [1, 2, 3]


# With marks


def marked(flow: Flow, *entries: dict[str, Any]) -> dict[int, Given]:
    return given_by(make_plan(flow), decisions_of(entries))


def states_of(given: dict[int, Given], flow: Flow, slug: str) -> dict[int, str] | str:
    found = given[make_plan(flow).slugs[slug]]
    return found.state.name if found.children is None else {i: one.state.name for i, one in found.children.items()}


def test_a_marked_child_leaves_its_siblings_as_they_were(tmp_path: Path) -> None:
    story = Story(tmp_path / "story")
    _, ledger, _ = story.run()
    marks = marked(story.flow, {"task": "load-1", "mapIndex": 2, "decision": "Success"})
    given = resume(ledger, make_plan(story.flow), lambda stored: stored, (), marks)
    assert states_of(given, story.flow, "load-1") == dict.fromkeys(range(4), "Success")
    assert make_plan(story.flow).slugs["total-1"] not in given, "it reads other results than before"


def test_what_only_a_marked_task_reads_need_not_be_stored(tmp_path: Path) -> None:
    story = Story(tmp_path / "story", stored=False)
    _, ledger, _ = story.run()
    marks = marked(story.flow, {"task": "load", "decision": "Skipped"}, {"task": "total", "decision": "Success"})
    given = resume(ledger, make_plan(story.flow), lambda stored: stored, (), marks)
    assert states_of(given, story.flow, "load-1") == "Skipped"
    child = marked(story.flow, {"task": "load", "mapIndex": 2, "decision": "Failed"})
    with pytest.raises(ResumeError, match=r'results of "load\[0\]", "load\[1\]", "load\[3\]" were not stored'):
        resume(ledger, make_plan(story.flow), lambda stored: stored, (), child)


def test_a_mark_holds_for_the_run_that_goes_on_from_its_run(tmp_path: Path) -> None:
    story = Story(tmp_path / "story")
    marks = marked(
        story.flow,
        {"task": "load", "mapIndex": 2, "decision": "Success"},
        {"task": "report", "decision": "Success"},
        {"task": "total", "decision": "Failed"},
    )
    plan = make_plan(story.flow)
    run = Run(plan)
    step(run, RunBegan(0.0, {"n": 3}, marks))
    ends = [("extract-1", -1), *(("transform-1", i) for i in range(3)), ("load-1", 0), ("load-1", 1)]
    for slug, index in ends:
        length = 3 if slug == "extract-1" else None
        end = TaskEnded(plan.slugs[slug], 1, 1.0, Success(), "ref", length, map_index=index, stored=NOTHING)
        step(run, end)
    ledger = ledger_of(run)
    given = resume(ledger, plan, lambda stored: stored)
    assert states_of(given, story.flow, "load-1") == dict.fromkeys(range(3), "Success")
    assert given[plan.slugs["load-1"]].children[2].ref == ("data:application/json,null", "json")  # type: ignore[index]
    assert states_of(given, story.flow, "report-1") == "Success"


# As files, in the store of a FlowRun's flow


def handover(**more: Any) -> Handover:
    return Handover("etl-2", "sales", "story", "story-v1", 1, "flow.py:flow", resume_run="etl-1", **more)


def put(folder: Path, text: str) -> Flow:
    place = folder / "results/headwater/ledgers/sales/etl-1.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return Story(folder).flow


def test_a_ledger_says_of_which_run_it_is(tmp_path: Path) -> None:
    entries: Ledger = {"report-1": Entry("Success")}
    first = Handover("etl-1", "sales", "story", "story-v1", 1, "flow.py:flow", uid="one")
    flow = Story(tmp_path).flow
    plan = make_plan(flow)
    put(tmp_path, json.dumps(ledgers.to_file(first, entries)))
    report = plan.slugs["report-1"]
    assert list(ledgers.given_to(flow, plan, handover(resume_uid="one"), {})) == [report]
    assert list(ledgers.given_to(flow, plan, handover(), {})) == [report], "it was deleted, or the operator is older"
    with pytest.raises(ResumeError, match="one of an earlier run of that name, which was deleted"):
        ledgers.given_to(flow, plan, handover(resume_uid="another"), {})
    with pytest.raises(ResumeError, match=r'FlowRun "etl-1" is of Flow "story" .* and this run of Flow "tale"'):
        ledgers.given_to(flow, plan, replace(handover(), flow="tale"), {})
    put(tmp_path, json.dumps({slug: entry.as_dict() for slug, entry in entries.items()}))
    assert list(ledgers.given_to(flow, plan, handover(resume_uid="any"), {})) == [report], "from before it said so"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"load-1": 3}',
        '{"load-1": {"state": "Success", "stored": ["x"]}}',
        '{"load-1": {"state": "Mapped", "width": 1, "children": {"x": {"state": "Success"}}}}',
        '{"format": 2, "tasks": {}}',
    ],
)
def test_a_damaged_ledger_is_told_in_words(tmp_path: Path, text: str) -> None:
    flow = put(tmp_path, text)
    with pytest.raises(ResumeError, match='"etl-1" cannot be read, which is headwater/ledgers/sales/etl-1') as e:
        ledgers.given_to(flow, make_plan(flow), handover(), {})
    assert e.tb.tb_next is not None
    sentence, tail = explain(e.value.with_traceback(e.tb.tb_next))
    assert sentence.startswith("ResumeError: resumeFrom: ")
    assert tail == "", "where in our code it was is of no use to anybody"


def test_a_ledger_is_kept_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "SECONDS_BETWEEN_WRITES", 0.3)
    flow = Story(tmp_path).flow
    first = Handover("etl-1", "sales", "story", "story-v1", 1, "flow.py:flow", uid="one")
    run = Run(make_plan(flow))
    keeper = ledgers.Keeper(flow, first, run)

    def post(event: Any) -> None:
        step(run, event)
        keeper.saw(event)

    def kept() -> Any:
        place = tmp_path / "results/headwater/ledgers/sales/etl-1.json"
        return json.loads(place.read_text())["tasks"] if place.exists() else None

    def until_kept(wanted: list[str]) -> None:
        deadline = time.monotonic() + 10.0
        while kept() is None or sorted(kept()) != wanted:
            assert time.monotonic() < deadline, kept()
            time.sleep(0.02)

    extract, report = run.plan.slugs["extract-1"], run.plan.slugs["report-1"]
    post(RunBegan(0.0, {"n": 2}))
    post(TaskEnded(report, 1, 1.0, Paused("go on?")))
    until_kept([])
    post(TaskEnded(extract, 1, 2.0, Success(), "ref", 2, stored=NOTHING))
    until_kept(["extract-1", "load-1", "transform-1"])
    assert kept()["transform-1"]["children"] == {}, "they are under way"
    post(PauseAnswered(report, 1, 3.0, approved=False))
    keeper.close()
    assert kept()["report-1"]["state"] == "Failed"


def test_without_a_store_nothing_is_kept(tmp_path: Path) -> None:
    flow = Story(tmp_path, stored=False).flow
    run = Run(make_plan(flow))
    keeper = ledgers.Keeper(flow, Handover("etl-1", "sales", "story", "story-v1", 1, "flow.py:flow"), run)
    keeper.saw(TaskEnded(0, 1, 1.0, Paused("go on?")))
    keeper.close()
    assert not (tmp_path / "results").exists()
