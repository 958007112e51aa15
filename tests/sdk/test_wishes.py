"""What people want of a run under way, as values; and the commands that write it down."""

from __future__ import annotations

from typing import Any

import pytest

from headwater import Flow, Parameter, task
from headwater.cli.control import one_more, restarted
from headwater.core.signals import PAUSE
from headwater.core.states import Paused, Retrying, Success
from headwater.engine.events import Event, PauseAnswered, RunBegan, TaskEnded, TaskMarked, TaskStarted
from headwater.engine.machine import Run, step
from headwater.engine.plan import make_plan
from headwater.pod.desk import Desk
from headwater.pod.report import status_of, verdict
from headwater.pod.wishes import Decision, Wishes, decisions_of, given_by, wishes_of
from headwater.resources.conditions import RunState


@task
def items(n: int) -> list[int]:
    return list(range(n))


@task
def ship(item: int) -> None:
    raise PAUSE("ship it?")


@task
def close(done: Any) -> None: ...


def orders(count: int = 3) -> Run:
    """A run where so many children are mapped and none has begun."""
    with Flow("orders") as flow:
        close(ship.map(items(Parameter("n", default=3))))
    run = Run(make_plan(flow))
    step(run, RunBegan(0.0, {"n": count}))
    step(run, TaskEnded(run.plan.slugs["items-1"], 1, 1.0, Success(), list(range(count)), count))
    return run


def post(run: Run, event: Event | None, desk: Desk | None = None) -> None:
    assert event is not None
    step(run, event)
    if desk is not None:
        desk.saw(event)


def pause(run: Run, index: int, desk: Desk | None = None) -> None:
    number = run.plan.slugs["ship-1"]
    count = run.at(number, index).run_count
    post(run, TaskStarted(number, count, 2.0, index), desk)
    post(run, TaskEnded(number, count, 2.0, Paused(f"ship {index}?"), map_index=index), desk)


def resource(reason: str = "Running", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Succeeded", "status": "Unknown", "reason": reason, "message": ""}]
    return {"spec": {"flow": "orders", **spec}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("run", "cancel"),
    [
        (resource(), ""),
        (resource(cancel=""), ""),
        (resource(cancel="Cancel"), "spec.cancel asks for it"),
        (resource("Cancelling"), "the run that started it is cancelled"),
        ({"spec": {"flow": "orders"}}, ""),
    ],
)
def test_a_run_is_cancelled_by_its_spec_or_with_the_run_that_started_it(run: dict[str, Any], cancel: str) -> None:
    assert wishes_of(run) == Wishes(cancel)


def test_decisions_of_a_newer_kind_are_left_out() -> None:
    entries = [{"task": "a", "decision": "Postpone"}, {"task": "a", "decision": "Approve", "mapIndex": 2}]
    assert decisions_of(entries) == (Decision("a", "Approve", 2),)


def test_an_answer_waits_for_its_task_and_counts_once() -> None:
    run, approve = orders(), Decision("ship-1", "Approve", 1)
    desk = Desk(run)
    desk.put((approve,))
    assert desk.next(3.0) == (None, "")
    assert not desk.is_due
    pause(run, 1, desk)
    assert desk.is_due
    event, refusal = desk.next(3.0)
    assert refusal == ""
    assert isinstance(event, PauseAnswered)
    assert (event.map_index, event.approved) == (1, True)
    assert desk.next(3.0) == (None, "")
    desk.put((approve, Decision("ship-1", "Reject", 2)))
    assert desk.next(4.0) == (None, ""), "the first was carried out, the second waits"
    desk.put((approve, approve))
    assert desk.next(4.0)[0] is not None, "the task is paused still, and approved once more"


def test_an_answer_to_a_mapped_task_is_one_to_each_child() -> None:
    run = orders()
    desk = Desk(run)
    desk.put((Decision("ship", "Reject", message="out of stock"),))
    answered = []
    for index in (2, 0, 1):
        pause(run, index, desk)
        entry = next(entry for entry in status_of(run)["tasks"] if entry["name"] == "ship")
        assert entry["pausedChildren"] == [{"index": index, "message": f"ship {index}?"}]
        event, _ = desk.next(3.0)
        assert isinstance(event, PauseAnswered)
        assert event.reason == "a person said no: out of stock"
        answered.append(event.map_index)
        post(run, event, desk)
        assert desk.next(3.0) == (None, "")
    assert answered == [2, 0, 1]
    words = run.tasks[run.plan.slugs["ship-1"]].children[0].state.message  # type: ignore[index]
    assert words == "It was paused and may not go on, as a person said no: out of stock. ship 0?"


def test_an_entry_that_was_taken_out_and_is_there_again_is_another() -> None:
    run, approve, whole = orders(), Decision("ship-1", "Approve", 1), Decision("ship", "Approve")
    desk, number = Desk(run), run.plan.slugs["ship-1"]
    for list_, again in (((approve,), 1), ((), 0), ((approve,), 1), ((approve,), 0), ((), 0), ((whole,), 1)):
        desk.put(list_)
        pause(run, 1, desk)
        event, refusal = desk.next(3.0)
        assert refusal == ""
        assert (event is not None) == bool(again), list_
        if event is not None:
            post(run, event, desk)
        else:
            post(run, PauseAnswered(number, run.at(number, 1).run_count, 3.0, True, 1), desk)


def test_an_answer_to_very_many_children_looks_at_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run, count = orders(2_000), 1_000
    desk, number = Desk(run), run.plan.slugs["ship-1"]
    for index in range(count):
        pause(run, index, desk)
    desk.put((Decision("ship", "Reject"),))
    looks, at = [], Run.at
    monkeypatch.setattr(Run, "at", lambda self, *key: looks.append(key) or at(self, *key))
    for _ in range(count):
        post(run, desk.next(3.0)[0], desk)
    assert desk.next(3.0) == (None, "")
    for index in range(count, 2_000):
        post(run, TaskEnded(number, 1, 4.0, Success(), map_index=index), desk)
        assert index == 1_999 or not desk.is_due
    assert desk.next(3.0) == (None, "")
    assert run.tasks[number].finished_at == 4.0
    assert len(looks) < 20 * count


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (
            Decision("sell-1", "Approve"),
            'Approve sell-1: there is no one task "sell-1"; the flow has items-1, ship-1, close-1',
        ),
        (Decision("ship-1", "Success"), '"ship-1" has 3 children: name one by its mapIndex'),
        (Decision("ship-1", "Success", 3), '"ship-1" has children 0 to 2, and no 3'),
        (Decision("items-1", "Failed"), '"items-1" has ended as Success already'),
        (Decision("n", "Failed"), '"n" is a parameter, not a task'),
        (Decision("ship-1", "Approve", 3), 'Approve ship-1[3]: "ship-1" has children 0 to 2, and no 3'),
        (Decision("items-1", "Approve"), 'Approve items-1: "items-1" has ended as Success already'),
        (Decision("close-1", "Reject", 0), 'Reject close-1[0]: "close-1" has no children'),
        (Decision("close-1", "Success", 0), 'Success close-1[0]: "close-1" has no children'),
    ],
    ids=lambda value: value.words if isinstance(value, Decision) else "",
)
def test_what_cannot_be_carried_out_is_told_once(decision: Decision, words: str) -> None:
    desk = Desk(orders())
    desk.put((decision,))
    event, refusal = desk.next(3.0)
    assert event is None
    assert words in refusal
    assert desk.next(3.0) == (None, "")


def test_an_answer_that_nobody_asked_for_is_told_when_its_task_has_ended() -> None:
    run = orders()
    desk = Desk(run)
    decisions = (Decision("ship-1", "Approve", 0), Decision("ship", "Approve"), Decision("close", "Reject"))
    desk.put(decisions)
    assert desk.next(3.0) == (None, "")
    told = []
    for index in range(3):
        post(run, TaskEnded(run.plan.slugs["ship-1"], 1, 4.0, Success(), map_index=index), desk)
        told += [desk.next(4.0)[1] for _ in range(3)]
    assert [words for words in told if words] == [
        'Approve ship-1[0]: child 0 of "ship-1" has ended as Success already',
        'Approve ship: all children of "ship" have ended already',
    ]
    post(run, TaskEnded(run.plan.slugs["close-1"], 1, 5.0, Success()), desk)
    assert desk.next(5.0)[1] == 'Reject close: "close-1" has ended as Success already'


def test_marks_finish_children_before_and_after_they_are_opened() -> None:
    run = orders()
    desk = Desk(run)
    desk.put((Decision("ship-1", "Skipped", 0, "returned"), Decision("close-1", "Success", message="by hand")))
    for _ in range(2):
        event, _ = desk.next(3.0)
        assert isinstance(event, TaskMarked)
        step(run, event)
    found = {entry["name"]: entry for entry in status_of(run)["tasks"]}
    assert found["ship"]["mapped"]["skipped"] == 1
    assert found["close"]["state"] == "Success"
    for index in (1, 2):
        step(run, TaskEnded(run.plan.slugs["ship-1"], 1, 4.0, Success(), None, map_index=index))
    assert run.finished_at == 4.0, "nothing else is to be done"


def test_what_is_marked_before_the_run_begins_does_not_run() -> None:
    with Flow("orders") as flow:
        close(ship.map(items(Parameter("n", default=3))))
    plan = make_plan(flow)
    marks = (Decision("ship-1", "Success", 1), Decision("ship-1", "Skipped", 2), Decision("close", "Skipped"))
    given = given_by(plan, (*marks, Decision("nobody", "Success"), Decision("items-1", "Approve")))
    run = Run(plan)
    step(run, RunBegan(0.0, {"n": 3}, given))
    commands = step(run, TaskEnded(plan.slugs["items-1"], 1, 1.0, Success(), [0, 1, 2], 3))
    assert [getattr(command, "map_index", None) for command in commands] == [0]
    assert run.tasks[plan.slugs["close-1"]].state.is_skipped()
    desk = Desk(run, (*marks, Decision("nobody", "Success")))
    assert "no one task" in desk.next(2.0)[1], "what was no task is told all the same"
    assert desk.next(2.0) == (None, "")


def test_a_cancelled_run_says_how_far_it_came() -> None:
    from headwater.engine.events import RunCancelled, TaskWithdrawn

    run = orders()
    number = run.plan.slugs["ship-1"]
    pause(run, 0)
    step(run, TaskStarted(number, 1, 2.0, 1))
    step(run, RunCancelled(3.0, "spec.cancel asks for it"))
    step(run, TaskWithdrawn(number, 1, 3.0, 1))
    step(run, TaskWithdrawn(number, 1, 3.0, 2))
    step(run, TaskEnded(number, 1, 4.0, Retrying("no stock"), map_index=1))
    state, words = verdict(run)
    assert state is RunState.CANCELLED
    assert words == "Cancelled, as spec.cancel asks for it: 1 of 5 tasks succeeded, the others did not run"
    counts = status_of(run)["progress"]
    assert (counts["text"], counts["cancelled"], counts["running"]) == ("5/5", 4, 0)


def test_a_decision_is_put_behind_the_others() -> None:
    run = {"metadata": {"generation": 7}, "spec": {"decisions": [{"task": "a-1", "decision": "Approve"}]}}
    entry = {"task": "b-1", "decision": "Reject"}
    assert one_more(run, entry) == [{"op": "add", "path": "/spec/decisions/-", "value": entry}]
    first, second = one_more({"metadata": {"generation": 7}, "spec": {}}, entry)
    assert first == {"op": "test", "path": "/metadata/generation", "value": 7}
    assert second == {"op": "add", "path": "/spec/decisions", "value": [entry]}


def test_a_restarted_run_is_of_the_same_version_and_keeps_no_wishes() -> None:
    old = {
        "metadata": {"name": "etl-1", "labels": {"app.kubernetes.io/instance": "prod"}},
        "spec": {"flow": "etl", "parameters": {"n": 1}, "cancel": "Cancel", "priority": 3, "idempotencyKey": "k"},
        "status": {"version": {"number": 4}},
    }
    made = restarted(old, ["load-1"], [{"task": "copy-1", "decision": "Success"}])
    assert made["spec"] == {
        "flow": "etl",
        "version": 4,
        "parameters": {"n": 1},
        "resumeFrom": {"run": "etl-1", "tasks": ["load-1"]},
        "decisions": [{"task": "copy-1", "decision": "Success"}],
    }
    assert made["metadata"] == {}


def test_a_restarted_run_stays_its_flows_and_is_nobody_elses_child() -> None:
    flow = {"apiVersion": "headwater.dev/v1alpha1", "kind": "Flow", "name": "etl", "uid": "u", "controller": True}
    parent = {"apiVersion": "headwater.dev/v1alpha1", "kind": "FlowRun", "name": "all-1", "uid": "p"}
    labels = {"headwater.dev/schedule": "nightly", "app.kubernetes.io/instance": "prod"}
    old = {
        "metadata": {"name": "etl-1", "labels": labels, "ownerReferences": [parent, flow]},
        "spec": {"flow": "etl"},
    }
    made = restarted(old, [], [])
    assert made["metadata"] == {"labels": {"headwater.dev/schedule": "nightly"}, "ownerReferences": [flow]}
    old["metadata"]["ownerReferences"] = [parent]
    assert "ownerReferences" not in restarted(old, [], [])["metadata"]
