"""Whom the operator looks at when something has changed."""

from __future__ import annotations

import asyncio
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
