"""Whom the operator looks at when something has changed."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from headwater.resources.conditions import RunState
from headwater_operator.kinds import FLOW, FLOW_RUN, Kind
from headwater_operator.parts import Operator
from headwater_operator.queue import WorkKey


class Keys:
    """A queue that only remembers."""

    def __init__(self) -> None:
        self.added: list[str] = []

    def start(self) -> None:
        """Nobody works on them."""

    async def add(self, key: WorkKey, delay_seconds: float = 0.0) -> None:
        self.added.append(f"{key.kind} {key.name}")


@pytest.fixture
def look(make):
    """`look((FLOW, flow), (FLOW_RUN, run))`: whom an operator looks at that saw all these, when it sees the last."""

    def observe(*seen: tuple[Kind, Any], event: str = "MODIFIED") -> set[str]:
        async def play() -> set[str]:
            operator = Operator(make.settings, None)  # type: ignore[arg-type]
            for kind, manifest in seen[:-1]:
                operator.cache.upsert(kind, manifest)
            keys = Keys()
            operator.queue = keys  # type: ignore[assignment]
            await operator.observe(seen[-1][0], event, seen[-1][1])
            return set(keys.added)

        return asyncio.run(play())

    return observe


def another(make: Any, name: str, **spec: Any) -> Any:
    flow = make.flow(**spec)
    flow["metadata"] |= {"name": name, "uid": f"uid-{name}"}
    return flow


@pytest.mark.parametrize("event", ["MODIFIED", "DELETED"])
def test_a_flow_that_gives_up_its_slots_makes_room_for_others(make, look, event: str) -> None:
    takes = {"limits": [{"name": "gpu"}]}
    queued = {"conditions": make.conditions(RunState.QUEUED, "it is next")}
    waits = make.run("waits", status=queued, flow="ml")
    etl = make.flow() if event == "MODIFIED" else make.flow(concurrency=takes)
    assert "FlowRun waits" in look(
        (FLOW, make.flow(concurrency=takes)),
        (FLOW, another(make, "ml", concurrency=takes)),
        (FLOW_RUN, waits),
        (FLOW, etl),
        event=event,
    )


@pytest.mark.parametrize("how", ["owner", "label"])
def test_what_a_run_has_started_may_go_when_it_has_ended(make, look, how: str) -> None:
    parent, child = make.run("parent"), make.run("child", flow="ml")
    if how == "owner":
        child["metadata"]["ownerReferences"] = [{"kind": "FlowRun", "name": "parent", "uid": "uid-parent"}]
    else:
        child["metadata"]["labels"] = {"headwater.dev/parent": "parent"}
    assert "Flow ml" not in look((FLOW_RUN, child), (FLOW_RUN, parent))
    parent["status"]["conditions"] = make.conditions(RunState.SUCCESS, "ok")
    assert "Flow ml" in look((FLOW_RUN, child), (FLOW_RUN, parent))


def test_what_was_read_at_the_start_is_looked_at_once(make) -> None:
    """The watch begins with a list of the same objects; a later list may be of what nobody was told of."""
    run = make.run()
    run["metadata"]["resourceVersion"] = "5"

    class Api:
        async def list(self, kind: Kind, selector: str | None = None) -> list[Any]:
            return [copy.deepcopy(run)] if kind is FLOW_RUN else []

    async def play() -> list[list[str]]:
        operator = Operator(make.settings, Api())  # type: ignore[arg-type]
        keys = Keys()
        operator.queue = keys  # type: ignore[assignment]
        await operator.start()
        told = []
        for event, version in ((None, "5"), (None, "5"), ("MODIFIED", "6")):
            told.append(keys.added[:])
            keys.added.clear()
            seen = copy.deepcopy(run)
            seen["metadata"]["resourceVersion"] = version
            await operator.observe(FLOW_RUN, event, seen)
        assert operator._resync is not None
        operator._resync.cancel()
        await operator.recorder.stop()
        return [*told, keys.added]

    started, first, second, changed = asyncio.run(play())
    assert "FlowRun etl-1" in started
    assert first == []
    assert "FlowRun etl-1" in second
    assert "FlowRun etl-1" in changed


def test_what_has_changed_since_the_start_is_looked_at(make) -> None:
    run = make.run()

    class Api:
        async def list(self, kind: Kind, selector: str | None = None) -> list[Any]:
            return [copy.deepcopy(run)] if kind is FLOW_RUN else []

    async def play() -> list[str]:
        operator = Operator(make.settings, Api())  # type: ignore[arg-type]
        keys = Keys()
        operator.queue = keys  # type: ignore[assignment]
        await operator.start()
        keys.added.clear()
        seen = copy.deepcopy(run)
        seen["metadata"]["resourceVersion"] = str(int(run["metadata"]["resourceVersion"]) + 1)
        await operator.observe(FLOW_RUN, None, seen)
        assert operator._resync is not None
        operator._resync.cancel()
        await operator.recorder.stop()
        return keys.added

    assert "FlowRun etl-1" in asyncio.run(play())
