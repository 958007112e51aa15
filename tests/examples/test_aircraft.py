"""The aircraft flow: what its runs leave in the database, on every executor, and its manifests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aircraftlib import Database, Position, bounding_box, fetch_live_aircraft_data, fetch_reference_data
from aircraftlib.database import VOLUME

from headwater import Flow, task
from headwater.core.entrypoint import load_flow
from headwater.executors import DaskExecutor, LocalExecutor
from headwater.states import Failed, State, Success, TriggerFailed

EXECUTORS: dict[str, Callable[[], Any]] = {
    "local": LocalExecutor,
    "dask": lambda: DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1}),
}


@pytest.fixture
def flow(examples: Path) -> Flow:
    return load_flow("flow.py:flow", [examples / "aircraft"])


def manifest(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def states(flow: Flow, state: State) -> dict[str, State]:
    return {task.name: state.result[task] for task in flow.tasks}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_fills_the_database(flow: Flow, database_file: Path, executor: str) -> None:
    state = flow.run(airport="ZRH", radius=50, executor=EXECUTORS[executor]())
    assert isinstance(state, Success)
    loaded = {name: s.result for name, s in states(flow, state).items() if name.startswith("load")}
    counts = Database(database_file).counts()
    assert loaded == {"load_reference_data": counts["airport"] + counts["airline"], "load_live_data": 559}
    assert counts["aircraft"] == 559
    rows = Database(database_file).aircraft()
    zurich = bounding_box(Position(47.4647, 8.54917), 50)
    assert {row["airline"] for row in rows} >= {"Lufthansa", "Ryanair", None}
    assert all(zurich.contains(row["latitude"], row["longitude"]) for row in rows)


def test_the_defaults_are_paris(flow: Flow, database_file: Path) -> None:
    assert flow.run().is_successful()
    assert Database(database_file).counts()["aircraft"] == 213


def test_running_again_adds_no_row(flow: Flow, database_file: Path) -> None:
    for _ in range(2):
        assert flow.run(airport="GVA", radius=50).is_successful()
    assert Database(database_file).counts()["aircraft"] == 417


def test_an_airport_without_traffic_fails_its_task_and_keeps_the_reference_data(
    flow: Flow, database_file: Path
) -> None:
    state = flow.run(airport="IAD")
    assert isinstance(state, Failed)
    found = states(flow, state)
    assert "There is no recorded traffic within 200 km of IAD" in str(found["extract_live_data"].result)
    assert isinstance(found["load_live_data"], TriggerFailed)
    assert isinstance(found["load_reference_data"], Success)
    assert Database(database_file).counts()["airport"] > 28_000


@pytest.mark.parametrize(
    ("given", "error"), [({"airport": "CDX"}, "no airport"), ({"radius": "far"}, "radius is 'far'")]
)
def test_a_wrong_parameter_fails_the_task_in_words(
    flow: Flow, database_file: Path, given: dict[str, Any], error: str
) -> None:
    found = states(flow, flow.run(given))["extract_live_data"]
    assert isinstance(found.result, ValueError)
    assert error in str(found.result)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_simulated_failures_are_retried_wherever_the_task_runs(database_file: Path, executor: str) -> None:
    @task(max_retries=3, retry_delay=timedelta(seconds=0.05))
    def extract() -> int:
        airport = fetch_reference_data().airport("ZRH")
        return len(fetch_live_aircraft_data(bounding_box(airport.position, 10), simulate_failures=2))

    with Flow("retries") as flow:
        count = extract()
    state = flow.run(executor=EXECUTORS[executor]())
    assert state.is_successful()
    assert state.result[count].result == 192


def test_the_graph_is_that_of_the_five_tasks(flow: Flow) -> None:
    assert {t.name: sorted(u.name for u in flow.upstream_tasks(t)) for t in flow.tasks} == {
        "airport": [],
        "radius": [],
        "extract_reference_data": [],
        "extract_live_data": ["airport", "extract_reference_data", "radius"],
        "transform": ["extract_live_data", "extract_reference_data"],
        "load_reference_data": ["extract_reference_data"],
        "load_live_data": ["transform"],
    }


def test_the_manifests_fit_each_other_and_the_code(examples: Path, flow: Flow) -> None:
    folder = examples / "aircraft"
    deployed, run, claim = (manifest(folder / f"{name}.yaml") for name in ("flow", "flowrun", "volume"))
    assert run["spec"]["flow"] == deployed["metadata"]["name"]
    assert set(run["spec"]["parameters"]) <= {parameter.name for parameter in flow.parameters()}
    pod = deployed["spec"]["execution"]["worker"]["podTemplate"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    assert container == {"name": "flow", "volumeMounts": [{"name": volume["name"], "mountPath": str(VOLUME)}]}
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert (folder / deployed["spec"]["entrypoint"].partition(":")[0]).is_file()
