"""Every feature of the functional API, the same on every executor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from features import flows
from headwater.engine.plan import labels, make_plan
from headwater.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor

EXECUTORS: dict[str, Callable[[], Any]] = {
    "local": LocalExecutor,
    "threads": lambda: LocalDaskExecutor("threads", num_workers=4),
    "processes": lambda: LocalDaskExecutor("processes", num_workers=2),
    "synchronous": lambda: LocalDaskExecutor("synchronous"),
    "dask": lambda: DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 2}),
}


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Any:
    if request.param != "dask":
        yield EXECUTORS[request.param]()
        return
    from distributed import LocalCluster

    # One cluster for all of them: each run brings its own program.
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", silence_logs=40) as cluster:
        yield DaskExecutor(cluster.scheduler_address)


def states_of(flow: Any, state: Any) -> dict[str, Any]:
    """Label -> state, or the list of the children's states."""
    names = labels(make_plan(flow))
    return {
        name: [child.name for child in found.map_states] if found.is_mapped() else found.name
        for name, found in zip(names, (state.result[task] for task in flow.tasks), strict=True)
    }


@pytest.mark.parametrize("name", flows.FLOWS)
def test_a_flow_comes_to_what_is_expected(executor: Any, name: str) -> None:
    flow = flows.FLOWS[name]
    began = time.monotonic()
    state = flow.run(executor=executor)

    found = states_of(flow, state)
    told = {label: found[label] for label in flows.EXPECTED[name]}
    why = {str(task): s.message for task, s in state.result.items() if s.is_failed()}
    assert told == flows.EXPECTED[name], why
    assert all(found[label] == "Success" for label in found if label.startswith("check") and name != "mapping"), why
    assert state.is_failed() == (name in flows.FAILS), why
    assert time.monotonic() - began < 25, "nothing that was stopped goes on"
