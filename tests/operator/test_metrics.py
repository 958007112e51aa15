"""What Prometheus is told: right numbers, once, under bounded labels, by the server that answers the probes."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from headwater.core.errors import ClusterError
from headwater.resources.conditions import RunState
from headwater_operator.api import Api
from headwater_operator.cache import Cache
from headwater_operator.census import Census, seconds_between
from headwater_operator.kinds import FLOW, FLOW_RUN, FLOW_VERSION
from headwater_operator.metrics import Metrics, Snapshot
from headwater_operator.parts import Operator
from headwater_operator.queue import WorkKey
from headwater_operator.settings import Settings

LABELS = ("namespace", "flow", "kind", "state")


def samples(metrics: Metrics) -> dict[tuple[Any, ...], float]:
    """Every sample of ours but the buckets, by name and the values of its labels."""
    families = text_string_to_metric_families(metrics.text(Snapshot()).decode())
    return {
        (sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("headwater_") and not sample.name.endswith("_bucket")
    }


@pytest.fixture
def metrics() -> Metrics:
    """Those of an operator that knows of one flow."""
    found = Metrics()
    found.flow_seen(("sales", "etl"))
    return found


def census(runs: list[Any], now: Any) -> Census:
    """What a cache with the flow etl and these runs tells."""
    cache = Cache()
    for run in runs:
        cache.upsert(FLOW_RUN, run)
    return cache.tally.census(lambda _, flow: flow == "etl", now)


def ended_run(make: Any, state: RunState = RunState.SUCCESS, name: str = "etl-1") -> Any:
    return make.run(
        name,
        status={
            "conditions": make.conditions(state),
            "startedAt": "2026-11-23T12:00:02Z",
            "finishedAt": "2026-11-23T12:00:10.500000Z",
            "timeline": {"firstTaskAt": "2026-11-23T12:00:03Z"},
        },
    )


def test_runs_are_counted_by_flow_and_state(make) -> None:
    strangers = [make.run(f"no-{n}", status={"conditions": make.conditions(RunState.QUEUED)}) for n in range(3)]
    for number, run in enumerate(strangers):
        run["spec"]["flow"] = f"no-such-flow-{number}"
    runs = [*(ended_run(make, name=f"etl-{n}") for n in range(3)), make.run("etl-9"), *strangers]
    assert census(runs, make.at(5)) == Census(
        {("sales", "etl", "Success"): 3, ("sales", "etl", "Scheduled"): 1, ("sales", "", "Queued"): 3}, 0
    )


def test_counts_follow_what_runs_become(make) -> None:
    cache = Cache()
    states = [None, RunState.PENDING, RunState.RUNNING, RunState.SUCCESS]
    for version, state in enumerate(states, 1):
        run = make.run() if state is None else make.run(status={"conditions": make.conditions(state)})
        run["metadata"]["resourceVersion"] = str(version)
        for _ in range(2):
            cache.upsert(FLOW_RUN, run)
        counted = cache.tally.census(lambda *_: True, make.at(60))
        assert counted == Census({("sales", "etl", str(state or RunState.SCHEDULED)): 1}, int(state is None))
    cache.upsert(FLOW_RUN, make.run())  # late
    assert cache.tally.census(lambda *_: True, make.at(60)).runs == {("sales", "etl", "Success"): 1}
    cache.remove(FLOW_RUN, run)
    cache.remove(FLOW_RUN, run)
    assert cache.tally.census(lambda *_: True, make.at(60)) == Census({}, 0)


UNOBSERVED = {
    "fresh": ({}, 29, 0),
    "too long": ({}, 31, 1),
    "no status at all": (None, 31, 1),
    "looked at": ({"conditions": RunState.PENDING}, 3600, 0),
}


@pytest.mark.parametrize(("status", "age", "expected"), UNOBSERVED.values(), ids=UNOBSERVED)
def test_a_run_that_nobody_looked_at_is_unobserved(make, status: Any, age: float, expected: int) -> None:
    run = make.run()
    if status is None:
        del run["status"]
    elif status:
        run["status"]["conditions"] = make.conditions(status["conditions"])
    assert census([run], make.at(age)).unobserved == expected


def test_seconds_between() -> None:
    assert seconds_between("2026-11-23T12:00:00Z", "2026-11-23T12:00:01.250000Z") == 1.25
    assert seconds_between("2026-11-23T12:00:01Z", "2026-11-23T12:00:00Z") == 0.0
    assert seconds_between(None, "2026-11-23T12:00:00Z") is None


def test_an_end_is_counted_when_it_is_written_and_only_then(make, metrics: Metrics) -> None:
    run = make.run(status={"conditions": make.conditions(RunState.RUNNING)})
    over = ended_run(make)
    for before, after in ((run, run), (run, over), (over, over)):
        metrics.status_written(FLOW_RUN, before, after)
    metrics.status_written(FLOW_RUN, run, ended_run(make, RunState.FAILED))
    metrics.status_written(FLOW_VERSION, make.version(ready=False), make.version())
    found = samples(metrics)
    assert found["headwater_runs_finished_total", "sales", "etl", "Success"] == 1
    assert found["headwater_runs_finished_total", "sales", "etl", "Failed"] == 1
    assert found["headwater_run_duration_seconds_sum", "sales", "etl"] == 17
    assert found["headwater_run_wait_seconds_sum", "sales", "etl"] == 6


def test_a_run_without_a_first_task_has_no_wait(make, metrics: Metrics) -> None:
    run = ended_run(make, RunState.SKIPPED)
    for field in ("startedAt", "timeline"):
        del run["status"][field]
    metrics.status_written(FLOW_RUN, make.run(), run)
    found = samples(metrics)
    assert found["headwater_runs_finished_total", "sales", "etl", "Skipped"] == 1
    assert not [key for key in found if key[0].startswith(("headwater_run_wait", "headwater_run_duration"))]


def test_a_scheduled_run_tells_how_late_it_is(make, metrics: Metrics) -> None:
    metrics.created(make.run(scheduledTime="2026-11-23T11:59:57.000000Z"))
    metrics.created(make.run())
    metrics.created(make.version())
    found = samples(metrics)
    assert found["headwater_scheduled_run_late_seconds_sum", "sales", "etl"] == 3
    assert found["headwater_scheduled_run_late_seconds_count", "sales", "etl"] == 1


def of_flows(metrics: Metrics) -> dict[tuple[Any, ...], float]:
    return {key: value for key, value in samples(metrics).items() if len(key) > 2}


def test_the_first_end_of_a_flow_is_an_increase(metrics: Metrics) -> None:
    states = ("Success", "Failed", "TimedOut", "Crashed")
    zeros = {("headwater_runs_finished_total", "sales", "etl", state): 0 for state in states}
    assert of_flows(metrics) == zeros
    metrics.flow_seen(("sales", "etl"))
    assert of_flows(metrics) == zeros


def test_a_flow_that_is_gone_leaves_nothing_behind(make, metrics: Metrics) -> None:
    for state in (s for s in RunState if s.finished):
        metrics.status_written(FLOW_RUN, make.run(), ended_run(make, state))
    metrics.created(make.run(scheduledTime="2026-11-23T11:59:57Z"))
    assert of_flows(metrics)
    metrics.flow_gone(("sales", "etl"))
    assert of_flows(metrics) == {}
    metrics.flow_gone(("sales", "etl"))
    metrics.follow({("sales", "etl"), ("sales", "other")})
    metrics.follow({("sales", "other")})
    assert {key[2] for key in of_flows(metrics)} == {"other"}


def test_runs_of_no_flow_have_one_number_together(make) -> None:
    metrics = Metrics()
    for number in range(100):
        run = ended_run(make, RunState.FAILED)
        run["spec"] |= {"flow": f"no-such-flow-{number}", "scheduledTime": "2026-11-23T11:59:57Z"}
        metrics.created(run)
        metrics.status_written(FLOW_RUN, make.run(), run)
    assert of_flows(metrics) == {("headwater_runs_finished_total", "", "", "Failed"): 100}


def test_a_flow_has_few_series(make, metrics: Metrics) -> None:
    metrics.status_written(FLOW_RUN, make.run(), ended_run(make))
    metrics.created(make.run(scheduledTime="2026-11-23T11:59:57Z"))
    text = metrics.text(Snapshot()).decode()
    assert sum('flow="etl"' in line for line in text.splitlines()) <= 32
    assert "_created" not in text


def test_the_operator_knows_which_flows_there_are(make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        operator = Operator(Settings(), Api("http://127.0.0.1:1", False, lambda: None))
        there: list[Any] = [make.flow()]

        async def listed(*_: Any) -> list[Any]:
            return there

        monkeypatch.setattr(operator.api, "list", listed)
        await operator._read(FLOW)
        assert of_flows(operator.metrics)
        await operator.observe(FLOW, "DELETED", make.flow())
        assert of_flows(operator.metrics) == {}
        again = make.flow()
        again["metadata"] |= {"uid": "another", "creationTimestamp": "2026-11-23T12:00:01Z"}
        await operator.observe(FLOW, "ADDED", again)
        await operator.observe(FLOW, "DELETED", make.flow())  # late, of the one before
        assert of_flows(operator.metrics)
        there.clear()
        await operator._read(FLOW)
        assert of_flows(operator.metrics) == {}

    asyncio.run(main())


async def _ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def test_one_server_answers_probes_and_prometheus(make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        api = Api("http://127.0.0.1:1", False, lambda: None)
        operator = Operator(Settings(), api)
        await operator.serving.start(0, "127.0.0.1")
        port = operator.serving.port
        assert await _ask(port, "/healthz") == (200, "ok\n")
        assert await _ask(port, "/readyz") == (503, "still reading\n")
        with pytest.raises(ClusterError):
            await operator.start()
        operator.cache.upsert(FLOW_RUN, make.run())
        operator.cache.upsert(FLOW, make.flow())
        status, text = await _ask(port, "/metrics")
        assert status == 200
        assert 'headwater_runs{flow="etl",namespace="sales",state="Scheduled"} 1.0' in text
        assert 'headwater_api_requests_total{code="none",verb="GET"} 1.0' in text
        assert "headwater_ready 0.0" in text
        assert "process_resident_memory_bytes" in text
        assert "etl-1" not in text, "no label may hold a run's name"
        await operator.queue.add(WorkKey("FlowRun", "sales", "etl-1"))
        monkeypatch.setattr("headwater_operator.parts.STUCK_SECONDS", -1.0)
        status, text = await _ask(port, "/healthz")
        assert status == 503
        assert "a reconciliation has been waiting" in text
        await operator.stop()

    asyncio.run(main())


def test_a_failed_reconciliation_is_counted() -> None:
    async def main() -> None:
        operator = Operator(Settings(), Api("http://127.0.0.1:1", False, lambda: None))

        async def fail(key: WorkKey) -> float | None:
            raise ConnectionError("made up")

        operator.queue._reconcile = fail
        operator.queue.start()
        await operator.queue.add(WorkKey("FlowRun", "sales", "etl-1"))
        while not samples(operator.metrics)["headwater_reconcile_errors_total", "FlowRun"]:
            await asyncio.sleep(0.01)
        found = samples(operator.metrics)
        assert found["headwater_reconcile_seconds_count", "FlowRun"] >= 1
        assert found["headwater_reconcile_errors_total", "Flow"] == 0
        await operator.stop()

    asyncio.run(main())
