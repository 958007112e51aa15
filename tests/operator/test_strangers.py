"""Objects that others have made look like ours, or have lost what ours have: no event and no decision fails for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headwater.resources.conditions import RunState
from headwater_operator.api import Api
from headwater_operator.apply import Applier
from headwater_operator.kinds import CONFIG_MAP, FLOW, FLOW_RUN, FLOW_VERSION, POD, SERVICE, Kind
from headwater_operator.parts import Operator
from headwater_operator.queue import WorkKey
from headwater_operator.reconcile import Reconciler
from headwater_operator.settings import Settings

PREFIX = "headwater.dev/"
OWNERS: dict[str, Any] = {
    "no owner": None,
    "an empty list": [],
    "a stranger's": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "etl", "uid": "other"}],
    "a run of that name, not that one": [{"apiVersion": "x/v1", "kind": "FlowRun", "name": "etl-1", "uid": "other"}],
    "a run that is not there": [{"apiVersion": "x/v1", "kind": "FlowRun", "name": "nobody", "uid": "nobody"}],
    "itself": [{"apiVersion": "x/v1", "kind": "FlowRun", "name": "mine", "uid": "uid-mine"}],
}
LABELS: dict[str, Any] = {
    "no labels": None,
    "a flow alone": {"flow": "etl"},
    "a run alone": {"run": "etl-1"},
    "a version without a flow": {"version": "etl-v1"},
    "a version": {"flow": "etl", "version": "etl-v1", "role": "inspection"},
    "a runner": {"flow": "etl", "run": "etl-1", "role": "runner"},
    "a worker of no attempt": {"flow": "etl", "run": "etl-1", "role": "worker", "attempt": "none"},
    "a role that there is not": {"flow": "", "run": "", "role": "king", "schedule": "", "spec-hash": ""},
    "a claim": {"flow": "etl", "role": "claim"},
    "limits": {"role": "limits"},
}
KINDS = {kind.name: kind for kind in (POD, CONFIG_MAP, FLOW_VERSION, FLOW_RUN)}


def ours(make: Any) -> list[tuple[Kind, Any]]:
    """A flow with a version, a run that waits and one that runs."""
    flow = make.flow(concurrency={"limit": 1, "limits": [{"name": "db"}]})
    flow["status"] = {"currentVersion": {"name": "etl-v1", "number": 1}}
    version = make.version()
    version["metadata"]["ownerReferences"] = [{"kind": "Flow", "name": "etl", "uid": "uid-etl"}]
    running = make.run(status=make.begun(conditions=make.conditions(RunState.RUNNING)))
    return [(FLOW, flow), (FLOW_VERSION, version), (FLOW_RUN, running), (FLOW_RUN, make.run("etl-2"))]


def stranger(make: Any, kind: Kind, number: int, labels: Any, owners: Any) -> Any:
    more: dict[str, Any] = {"resourceVersion": "2"}  # newer than ours of its name
    if labels is not None:
        more["labels"] = {PREFIX + name: value for name, value in labels.items()}
    if owners is not None:
        more["ownerReferences"] = owners
    made = {"FlowVersion": make.version, "FlowRun": make.run}.get(kind.name, dict)()
    name = "etl-v1" if kind is FLOW_VERSION else "mine"
    metadata = make.metadata(name, f"uid-{name}-{number}", **more)
    return {"apiVersion": kind.api_version, "kind": kind.name, "spec": {}, **made, "metadata": metadata}


def decide_all(operator: Operator) -> None:
    reconciler = Reconciler(operator.cache, None, Settings(tls=False))  # type: ignore[arg-type]  # nothing is applied
    for kind, decide in reconciler._deciders.values():
        for manifest in operator.cache.all(kind):
            decide(WorkKey(kind.name, "sales", manifest["metadata"]["name"]), manifest)


@pytest.mark.parametrize("owners", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_strangers_are_seen_and_stop_nothing(make, kind: Kind, owners: Any) -> None:
    async def main() -> None:
        operator = Operator(Settings(), Api("http://127.0.0.1:1", False, lambda: None))
        for number, labels in enumerate(LABELS.values()):
            made = stranger(make, kind, number, labels, owners)
            await operator.observe(kind, "ADDED", made)
            for event in ("ADDED", "MODIFIED"):
                for own, manifest in ours(make):
                    await operator.observe(own, event, manifest)
                decide_all(operator)
            await operator.observe(kind, "MODIFIED", made)
            await operator.observe(kind, "DELETED", made)
            decide_all(operator)

    asyncio.run(main())


@pytest.mark.parametrize("others", [[], OWNERS["a stranger's"]], ids=["alone", "with another before it"])
def test_a_service_counts_for_the_run_that_owns_it(make, others: Any) -> None:
    operator = Operator(Settings(), Api("http://127.0.0.1:1", False, lambda: None))
    applier = Applier(None, operator.cache, None)  # type: ignore[arg-type]  # nothing is written
    owner = {"kind": "FlowRun", "name": "etl-1", "uid": "uid-etl-1"}
    service = {
        "metadata": make.metadata("etl-1-a1", ownerReferences=[*others, owner]),
        "spec": {"clusterIP": "10.0.0.7"},
    }
    applier._remember(SERVICE, service)
    assert operator.cache.address("sales", "etl-1-a1") is None, "its run is not there"
    operator.cache.upsert(FLOW_RUN, make.run())
    applier._remember(SERVICE, service)
    assert operator.cache.address("sales", "etl-1-a1") == "10.0.0.7"
