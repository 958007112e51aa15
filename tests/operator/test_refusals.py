"""What the API server refuses is told, tried again after growing pauses, and keeps nothing else waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headwater.resources.versions import spec_hash, versioned
from headwater_operator.api import ApiError
from headwater_operator.apply import Applier
from headwater_operator.cache import Cache
from headwater_operator.events import WARNING, Event
from headwater_operator.flows.plan import Observed, plan
from headwater_operator.kinds import FLOW, FLOW_RUN, FLOW_VERSION
from headwater_operator.metrics import Metrics
from headwater_operator.plans import Plan, Refusal
from headwater_operator.queue import WorkKey
from headwater_operator.reconcile import Reconciler
from headwater_operator.recorder import Recorder
from headwater_operator.runs.facts import Observed as ObservedRun
from headwater_operator.runs.plan import plan as plan_run
from headwater_operator.runs.workers import replaced
from headwater_operator.witness import Witness
from simulation.api import FaultyApi
from simulation.clock import VirtualLoop
from simulation.server import Server

SCHEDULES = [{"name": "a", "interval": "60s"}, {"name": "b", "dates": ["2026-11-23T12:00:20Z"], "catchUp": "All"}]


def flow_of(make: Any, **status: Any) -> Any:
    """A flow whose schedules were handled until a minute ago; a's slot is now, b's is to come."""
    flow = make.flow(schedules=SCHEDULES)
    times = [{"name": name, "lastSlot": "2026-11-23T11:59:00.000000Z"} for name in ("a", "b")]
    return {**flow, "status": {"schedules": times, **status}}


def decide(make: Any, refusal: Refusal | None = None, seconds: float = 1, runs: Any = ()) -> Plan:
    flow = flow_of(make)
    digest = spec_hash(versioned(flow["spec"], make.settings.runtime_image))
    seen = Observed(flow, [make.version(hash=digest)], list(runs), refusal)
    return plan(seen, make.settings, make.at(seconds))


def names_of(plan: Plan) -> list[str]:
    return [made["metadata"]["name"] for made in plan.create]


def last_slots(plan: Plan) -> dict[str, str]:
    assert plan.status is not None
    return {entry["name"]: entry["lastSlot"][11:19] for entry in plan.status["schedules"]}


def test_pauses_grow_and_are_bounded(make) -> None:
    known, pauses = None, []
    for _ in range(6):
        known = Refusal("no").put_off(known, make.now)
        pauses.append(known.again_seconds(make.now))
    assert pauses == [5, 10, 20, 40, 40, 40]
    assert not known.is_over(make.at(39))
    assert known.is_over(make.at(40))


def test_a_refused_run_is_told_by_its_flow(make, condition) -> None:
    refusal = Refusal("exceeded quota: runs").put_off(None, make.at(1))
    found = decide(make, refusal, seconds=2)
    assert found.create == ()
    assert found.again_seconds == 4
    assert found.status is not None
    words = "a run is refused: exceeded quota: runs; it is tried again"
    assert condition(found.status, "Reconciling") == ("True", "RunRefused", words)
    assert condition(found.status, "Ready") == ("False", "RunRefused", words)
    assert found.status["runs"] == {"active": 0, "queued": 0}
    # Its time is not noted as handled, so that an operator that takes over still makes its run.
    assert last_slots(found)["a"] == "11:59:00"


def test_it_is_tried_again_when_its_pause_is_over(make) -> None:
    refusal = Refusal("exceeded quota: runs").put_off(None, make.at(1))
    assert names_of(decide(make, refusal, seconds=6)) == ["etl-a-20261123120000"]


def test_another_schedules_time_does_not_wait_for_it(make) -> None:
    refusal = Refusal("it is not allowed").put_off(Refusal("", pause_seconds=20), make.at(1))
    found = decide(make, refusal, seconds=21)
    assert names_of(found) == ["etl-b-20261123120020"]
    made = {**found.create[0], "status": {}}
    # And is noted when it is made, while a's is still to be made.
    assert last_slots(decide(make, refusal, seconds=22, runs=[made])) == {"a": "11:59:00", "b": "12:00:20"}


class Strict(Server):
    """An API server that refuses runs while it is told to."""

    refuses = True
    goes = False

    def create(self, manifest: Any) -> Any:
        if self.goes:
            raise ApiError(
                403, "Forbidden", "no: unable to create new content in namespace sales because it is being terminated"
            )
        if manifest["kind"] == FLOW_RUN.name and self.refuses:
            raise ApiError(403, "Forbidden", "exceeded quota: runs")
        return super().create(manifest)


def play(make: Any, flow: Any, versions: list[Any], story: Any) -> None:
    """Play a story with a reconciler and its Events on a simulated API server; the clock is virtual."""
    loop = VirtualLoop()
    server = Strict(1, False, loop)

    async def main() -> None:
        cache, api = Cache(), FaultyApi(server)  # type: ignore[arg-type]
        recorder = Recorder(api, server.now)  # type: ignore[arg-type]
        applier = Applier(api, cache, Witness(recorder, Metrics(), cache))  # type: ignore[arg-type]
        for kind, manifests in ((FLOW, [flow]), (FLOW_VERSION, versions)):
            for manifest in manifests:
                server.objects[(kind.name, "sales", manifest["metadata"]["name"])] = manifest
                cache.upsert(kind, manifest)
        reconciler = Reconciler(cache, applier, make.settings, server.now)
        recorder.start()
        await story(server, lambda: reconciler(WorkKey(FLOW.name, "sales", "etl")))
        await recorder.stop()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def events_of(server: Server) -> list[tuple[str, str, int]]:
    found = [event for (kind, _, _), event in server.objects.items() if kind == "Event"]
    return [(event["reason"], event["message"], event["count"]) for event in found]


def test_a_refused_run_does_not_keep_the_flows_status_waiting(make, condition) -> None:
    flow = flow_of(make)
    version = make.version(hash=spec_hash(versioned(flow["spec"], make.settings.runtime_image)))
    version["metadata"]["ownerReferences"] = [{"uid": flow["metadata"]["uid"], "kind": "Flow", "name": "etl"}]

    async def story(server: Strict, reconcile: Any) -> None:
        assert await reconcile() == pytest.approx(5, abs=0.5)
        status = server.get(FLOW, "sales", "etl")["status"]
        words = "a run is refused: exceeded quota: runs; it is tried again"
        assert condition(status, "Reconciling") == ("True", "RunRefused", words)
        assert status["currentVersion"]["name"] == "etl-v1"
        await asyncio.sleep(1)
        assert ("RunRefused", words, 1) in events_of(server)
        server.refuses = False
        await asyncio.sleep(5)
        await reconcile()
        assert [run["metadata"]["name"] for run in server.all(FLOW_RUN)] == ["etl-a-20261123120000"]
        status = server.get(FLOW, "sales", "etl")["status"]
        assert condition(status, "Ready")[0] == "True"
        assert status["schedules"][0]["lastSlot"] == "2026-11-23T12:00:00.000000Z"

    play(make, flow, [version], story)


def test_a_version_is_told_once(make) -> None:
    async def story(server: Strict, reconcile: Any) -> None:
        for _ in range(3):
            await reconcile()
        await asyncio.sleep(1)
        assert [version["metadata"]["name"] for version in server.all(FLOW_VERSION)] == ["etl-v1"]
        assert events_of(server) == [("VersionMade", "etl-v1 is made of image acme/etl:1", 1)]

    play(make, make.flow(), [], story)


def test_nothing_is_wanted_in_a_namespace_that_goes(make) -> None:
    async def story(server: Strict, reconcile: Any) -> None:
        server.goes = True
        assert await reconcile() is None
        assert events_of(server) == []

    play(make, make.flow(), [], story)


LOST = {
    "killed": (
        {"phase": "Failed", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}},
        "worker pod etl-1-a1-w0: OOMKilled with exit code 137; made anew: etl-1-a1-w1",
    ),
}


@pytest.mark.parametrize(("how", "words"), LOST.values(), ids=LOST)
def test_a_replaced_worker_is_told(make, how: dict[str, Any], words: str) -> None:
    seen = observed(make, [make.worker(0, **how)], first_task=False)
    found = plan_run(seen, make.settings, make.at(2))
    assert names_of(found) == ["etl-1-a1-w1"]
    assert found.events == (Event("WorkerReplaced", words, WARNING),)


def test_a_worker_that_went_without_a_trace_is_told(make) -> None:
    found = plan_run(observed(make, [], first_task=True), make.settings, make.at(2))
    (event,) = found.events
    assert event.message == "a worker pod is gone: it was deleted, or its node was; made anew: etl-1-a1-w0"


def test_a_worker_that_is_made_for_the_first_time_is_not_told(make) -> None:
    assert plan_run(observed(make, [], first_task=False), make.settings, make.at(2)).events == ()
    late = observed(make, [], first_task=True, refusal=Refusal("exceeded quota"))
    assert replaced(late, (make.worker(0),)) == ()


def test_a_refused_worker_is_asked_for_after_a_pause(make) -> None:
    refusal = Refusal("exceeded quota").put_off(None, make.at(2))
    early = plan_run(observed(make, [], first_task=True, refusal=refusal), make.settings, make.at(3))
    assert (early.create, early.again_seconds) == ((), 4)
    late = plan_run(observed(make, [], first_task=True, refusal=refusal), make.settings, make.at(7))
    assert names_of(late) == ["etl-1-a1-w0"]


def observed(make: Any, workers: list[Any], first_task: bool, refusal: Refusal | None = None) -> Any:
    status = make.begun(conditions=make.conditions())
    if first_task:
        status["timeline"]["firstTaskAt"] = "2026-11-23T12:00:01Z"
    version = make.version(execution={"workers": 1})
    run = make.run(status=status)
    pods = [make.runner(), *workers]
    return ObservedRun(
        run, make.flow(), [version], pods, address="10.0.0.9", secret=True, account=True, refusal=refusal
    )
