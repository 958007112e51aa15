"""Which Events a change is worth, as tables; and how they are written: counted, not repeated, never in the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headwater.resources.conditions import RunState, held_up, ready, reconciling, stalled, to_manifest
from headwater_operator import recorder as recorder_module
from headwater_operator.api import ApiError
from headwater_operator.cache import Cache
from headwater_operator.events import Event, ended, told
from headwater_operator.kinds import FLOW, FLOW_RUN, FLOW_VERSION
from headwater_operator.metrics import Metrics
from headwater_operator.parts import Operator
from headwater_operator.recorder import Recorder
from headwater_operator.settings import Settings
from headwater_operator.witness import Witness
from simulation.clock import VirtualLoop
from simulation.server import Server

S = RunState
RUNS = {
    "made": (S.SCHEDULED, S.SUBMITTED, None),
    "waits": (S.SUBMITTED, S.PENDING, Event("Pending", "new", "Warning", 3.0)),
    "waits for something else": (S.PENDING, S.PENDING, Event("Pending", "new", "Warning", 3.0)),
    "in line": (S.SCHEDULED, S.QUEUED, Event("Queued", "new", "Normal", 3.0)),
    "another place in line": (S.QUEUED, S.QUEUED, None),
    "held back": (S.SCHEDULED, S.SUSPENDED, Event("Suspended", "new", "Normal", 3.0)),
    "begins": (S.SUBMITTED, S.RUNNING, Event("Running", "etl-v1 runs in pod etl-1-a1")),
    "runs with fewer workers": (S.RUNNING, S.RUNNING, None),
    "a person is asked": (S.RUNNING, S.PAUSED, Event("Paused", "new")),
    "goes on": (S.PAUSED, S.RUNNING, None),
    "is to stop": (S.RUNNING, S.CANCELLING, Event("Cancelling", "new")),
    "ends well": (S.RUNNING, S.SUCCESS, Event("Success", "new")),
    "ends at once": (S.SUBMITTED, S.SUCCESS, Event("Success", "new")),
    "fails": (S.RUNNING, S.FAILED, Event("Failed", "new", "Warning")),
    "crashes": (S.PENDING, S.CRASHED, Event("Crashed", "new", "Warning")),
    "is too late": (S.PENDING, S.TIMED_OUT, Event("TimedOut", "new", "Warning")),
    "is replaced": (S.RUNNING, S.CANCELLED, Event("Cancelled", "new")),
    "is left out": (S.QUEUED, S.SKIPPED, Event("Skipped", "new")),
    "is over": (S.SUCCESS, S.SUCCESS, None),
}


def run_in(make: Any, state: RunState, message: str) -> Any:
    return make.run(status=make.begun(conditions=make.conditions(state, message)))


@pytest.mark.parametrize(("old", "new", "expected"), RUNS.values(), ids=RUNS)
def test_what_a_run_tells(make, old: RunState, new: RunState, expected: Event | None) -> None:
    before, after = run_in(make, old, "old"), run_in(make, new, "new\nand a traceback")
    assert told(FLOW_RUN, before, after) == ((expected,) if expected else ())
    assert told(FLOW_RUN, after, after) == ()
    assert ended(before, after) == (new if new.finished and new is not old else None)


def flow_with(make: Any, conditions: Any, current: int | None = None) -> Any:
    flow = make.flow()
    flow["status"] = {"conditions": to_manifest(conditions, [], 1, make.now)}
    if current is not None:
        flow["status"]["currentVersion"] = {"name": f"etl-v{current}", "number": current}
    return flow


def test_what_a_flow_tells(make) -> None:
    new, first, second = (flow_with(make, ready("VersionReady", "fine"), number) for number in (None, 1, 2))
    broken = flow_with(make, stalled("InspectionFailed", "etl-v3 cannot be used: it raises\nTraceback"), 2)
    worse = flow_with(make, stalled("InspectionFailed", "etl-v4 cannot be used: it raises"), 2)
    warning = Event("InspectionFailed", "etl-v3 cannot be used: it raises", "Warning")
    assert told(FLOW, new, first) == (Event("VersionCurrent", "etl-v1 is current"),)
    assert told(FLOW, first, second) == (Event("VersionCurrent", "etl-v2 is current"),)
    assert told(FLOW, second, first) == (Event("VersionCurrent", "etl-v1 is current again"),)
    assert told(FLOW, second, broken) == (warning,)
    assert told(FLOW, broken, broken) == ()
    assert told(FLOW, broken, worse) == (Event("InspectionFailed", "etl-v4 cannot be used: it raises", "Warning"),)
    assert told(FLOW, worse, second) == ()


def test_a_flow_tells_its_troubles_once(make) -> None:
    new, held, stuck = (
        flow_with(make, conditions)
        for conditions in (reconciling("NewVersion", "x"), held_up("PodRefused", "no"), stalled("PodRefused", "no"))
    )
    assert told(FLOW, new, held) == (Event("PodRefused", "no", "Warning"),)
    assert told(FLOW, held, stuck) == (), "it lasts"
    assert told(FLOW, held, new) == ()


@pytest.mark.parametrize(("current", "again"), [(None, ""), (False, " again"), (True, "")])
def test_a_newer_version_that_comes_back_is_current_again(make, current: bool | None, again: str) -> None:
    """From v1 to v2, back, and to v2 once more: v2 gave way to v1 in between, and says so."""
    first, second = (flow_with(make, ready("VersionReady", "fine"), number) for number in (1, 2))
    version = make.version(2)
    if current is not None:
        version["status"]["current"] = current
    cache = Cache()
    cache.upsert(FLOW_VERSION, version)
    found = told(FLOW, first, second, lambda name: cache.get(FLOW_VERSION, "sales", name))
    assert found == (Event("VersionCurrent", f"etl-v2 is current{again}"),)


def test_a_version_tells_by_its_flow(make) -> None:
    assert told(FLOW_VERSION, make.version(ready=False), make.version()) == ()


def test_a_long_message_is_shortened(make) -> None:
    (event,) = told(FLOW_RUN, make.run(), run_in(make, S.FAILED, "x" * 5000))
    assert len(event.message) == 1000


class Api:
    """The API server of the simulation, without its luck; it counts, and fails when it is told to."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.server = Server(1, False, loop)
        self.calls: list[str] = []
        self.error: Exception | None = None

    def _call(self, name: str, *args: Any) -> Any:
        self.calls.append(name)
        if self.error is not None:
            raise self.error
        return getattr(self.server, name)(*args)

    async def create(self, *args: Any) -> Any:
        return self._call("create", *args)

    async def get(self, *args: Any) -> Any:
        return self._call("get", *args)

    async def patch(self, *args: Any) -> Any:
        return self._call("patch", *args)

    def events(self) -> list[tuple[str, str, int]]:
        found = [event for (kind, _, _), event in self.server.objects.items() if kind == "Event"]
        return [(event["reason"], event["message"], event["count"]) for event in found]


def play(story: Any) -> None:
    """Play a story with a recorder; its clock is virtual."""
    loop = VirtualLoop()

    async def main() -> None:
        api = Api(loop)
        recorder = Recorder(api, api.server.now)  # type: ignore[arg-type]
        recorder.start()
        await story(api, recorder)
        await recorder.stop()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_what_flaps_is_one_event_written_now_and_then(make) -> None:
    async def story(api: Api, recorder: Recorder) -> None:
        for number in range(3600):
            recorder.tell(make.run(), [Event("Pending", f"reason {number % 2}", "Warning", 3.0)])
            await asyncio.sleep(1)
        await asyncio.sleep(700)
        assert api.events() == [("Pending", "reason 1", 3600)]
        assert len(api.calls) < 15

    play(story)


# How long a run is in which state; and the reasons of the Events that this is worth.
LIVES = {
    "nothing stops it": ([(S.SUBMITTED, 2), (S.RUNNING, 9), (S.SUCCESS, 9)], ["Running", "Success"]),
    "it was suspended for a moment": (
        [(S.SUSPENDED, 1), (S.SUBMITTED, 9), (S.RUNNING, 9), (S.SUCCESS, 9)],
        ["Running", "Success"],
    ),
    "it was pending for a moment": (
        [(S.PENDING, 1), (S.SUBMITTED, 9), (S.RUNNING, 9), (S.FAILED, 9)],
        ["Running", "Failed"],
    ),
    "it waited for one thing and another": ([(S.QUEUED, 2), (S.PENDING, 2), (S.SUBMITTED, 9)], []),
    "it waited for long": ([(S.PENDING, 5), (S.SUBMITTED, 1), (S.RUNNING, 9)], ["Pending", "Running"]),
    "it is back in line": ([(S.QUEUED, 2), (S.SUBMITTED, 1), (S.QUEUED, 2), (S.SUBMITTED, 9)], []),
    "it waited for long and then for a moment": ([(S.QUEUED, 5), (S.PENDING, 1), (S.SUBMITTED, 9)], ["Queued"]),
    "it goes on at once": ([(S.RUNNING, 5), (S.PAUSED, 1), (S.RUNNING, 9)], ["Running", "Paused"]),
}


@pytest.mark.parametrize(("life", "expected"), LIVES.values(), ids=LIVES)
def test_what_did_not_last_is_not_told(make, life: list[tuple[RunState, float]], expected: list[str]) -> None:
    async def story(api: Api, recorder: Recorder) -> None:
        witness, before = Witness(recorder, Metrics(), Cache()), make.run()
        for state, seconds in life:
            after = run_in(make, state, "why")
            witness.status_written(FLOW_RUN, before, after)
            before = after
            await asyncio.sleep(seconds)
        assert [(reason, count) for reason, _, count in api.events()] == [(reason, 1) for reason in expected]

    play(story)


def test_what_has_lasted_is_told_though_it_is_over_before_its_turn(make) -> None:
    async def story(api: Api, recorder: Recorder) -> None:
        waits = [Event("Queued", "behind 1 other", settle_seconds=3.0)]
        for _ in range(2):
            recorder.tell(make.run(), waits)
            await asyncio.sleep(4)
            recorder.withdraw(make.run())
        await asyncio.sleep(20)
        assert api.events() == [("Queued", "behind 1 other", 2)]

    play(story)


def test_a_run_that_is_deleted_soon_is_not_told(make) -> None:
    async def story(api: Api, recorder: Recorder) -> None:
        operator = Operator(Settings(), api)  # type: ignore[arg-type]
        operator.recorder = recorder
        recorder.tell(make.run(), [Event("Suspended", "spec.suspend is true", settle_seconds=3.0)])
        await operator.observe(FLOW_RUN, "DELETED", make.run())
        await asyncio.sleep(10)
        assert api.events() == []

    play(story)


def test_another_operator_counts_on(make) -> None:
    async def story(api: Api, recorder: Recorder) -> None:
        recorder.tell(make.run(), [Event("Queued", "behind 3 others")])
        await asyncio.sleep(1)
        another = Recorder(api, api.server.now)  # type: ignore[arg-type]
        another.start()
        another.tell(make.run(), [Event("Queued", "behind 1 other")])
        await asyncio.sleep(1)
        await another.stop()
        assert api.events() == [("Queued", "behind 1 other", 2)]
        assert api.calls == ["create", "create", "get", "patch"]

    play(story)


def test_an_event_that_has_expired_is_made_anew(make) -> None:
    async def story(api: Api, recorder: Recorder) -> None:
        for words in ("first", "second"):
            recorder.tell(make.run(), [Event("WorkerReplaced", words)])
            await asyncio.sleep(20)
            if words == "first":
                api.server.objects.clear()
        assert api.events() == [("WorkerReplaced", "second", 1)]

    play(story)


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "no"), KeyError("a defect")], ids=["refused", "defect"])
def test_an_event_that_cannot_be_written_stops_nothing(make, error: Exception) -> None:
    async def story(api: Api, recorder: Recorder) -> None:
        api.error = error
        recorder.tell(make.run(), [Event("Failed", "it raised", "Warning")])
        await asyncio.sleep(1)
        api.error = None
        recorder.tell(make.run("etl-2"), [Event("Success", "fine")])
        await asyncio.sleep(1)
        assert api.events() == [("Success", "fine", 1)]
        assert recorder.outcomes == {"written": 1, "failed": 1, "dropped": 0}

    play(story)


def test_what_waits_to_be_written_is_bounded(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MOST_WAITING", 5)

    async def story(api: Api, recorder: Recorder) -> None:
        for number in range(8):
            recorder.tell(make.run(f"etl-{number}"), [Event("Success", "fine")])
        await asyncio.sleep(1)
        assert len(api.events()) == 5
        assert recorder.outcomes["dropped"] == 3

    play(story)
