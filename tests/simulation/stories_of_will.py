"""What clocks and people want of runs: schedules, however often the operator is away, and cancelling."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

from headwater.resources.conditions import find
from headwater.resources.names import scheduled_run_name
from headwater_operator.kinds import FLOW, FLOW_RUN, FLOW_VERSION
from simulation.teller import Teller
from simulation.values import result_of

MANY = {"succeeded": 1000, "failed": 1000}


def slots(t: Teller, schedule: str) -> list[datetime]:
    """The times of a schedule that have got a run."""
    runs = [
        r
        for r in t.world.all(FLOW_RUN, t.namespace)
        if r["metadata"].get("labels", {}).get("headwater.dev/schedule") == schedule
    ]
    found = sorted(datetime.fromisoformat(run["spec"]["scheduledTime"]) for run in runs)
    if len(set(found)) != len(found):
        t.world.violate(f"a time of {schedule} has two runs")
    return found


async def _while_scheduled(t: Teller, seconds: float, *entries: dict[str, Any], **spec: Any) -> None:
    t.flow(schedules=list(entries), history=MANY, **spec)
    # With a schedule that is wrong a flow is not ready.
    await t.world.until(lambda: "currentVersion" in t.status(FLOW, "etl"))
    await t.world.sleep(seconds, seconds * 1.5)


async def _until_handled(t: Teller, now: datetime, *schedules: str, edit: bool = True) -> None:
    """Wait until all times before *now* are handled, then take the schedules away."""

    def handled() -> bool:
        found = {entry["name"]: entry for entry in t.status(FLOW, "etl").get("schedules", [])}
        return all(s in found and datetime.fromisoformat(found[s]["lastSlot"]) >= now for s in schedules)

    await t.world.until(handled)
    if edit:
        t.edit(schedules=[])


async def every_time_has_its_run(t: Teller) -> None:
    """Whoever was away makes up for all of them, each once."""
    step = timedelta(seconds=20)
    entry = {"name": "often", "interval": "20s", "catchUp": "All"}
    await _while_scheduled(t, 150, entry)
    await _until_handled(t, t.world.now() - step, "often")
    found = slots(t, "often")
    if len(found) < 5:
        t.world.violate(f"only {len(found)} times have got a run")
    for before, after in itertools.pairwise(found):
        if after - before != step:
            t.world.violate(f"between {before} and {after} times were left out")
    for run in t.runs():
        t.world.expected[(t.namespace, run)] = "Success"


async def every_time_has_one_run_though_few_are_kept(t: Teller) -> None:
    """What the history gives up is not made once more by who has not seen that it was there."""
    t.flow(schedules=[{"name": "often", "interval": "20s", "catchUp": "All"}], history={"succeeded": 1, "failed": 1})
    await t.ready()
    await t.world.sleep(200, 300)
    await _until_handled(t, t.world.now() - timedelta(seconds=20), "often")


async def a_run_of_another_flow_has_a_times_name(t: Teller) -> None:
    """It is told, the schedule beside it goes on, and once it is gone so does this one."""
    taken = t.world.now().replace(second=0, microsecond=0) + timedelta(minutes=2)
    t.flow(name="other", suspend=True)
    name = scheduled_run_name("etl", "minutely", taken)
    t.run(name, None, flow="other")
    entries = [{"name": each, "interval": "1m", "catchUp": "All"} for each in ("minutely", "beside")]
    t.flow(schedules=entries, history=MANY)

    def told() -> bool:
        condition = find(t.status(FLOW, "etl")["conditions"], "Stalled")
        return condition is not None and f'"{name}" is in the way' in condition["message"]

    await t.world.until(told)
    seen = t.world.now()
    await _until_handled(t, seen, "beside", edit=False)
    t.take(FLOW_RUN, name)
    await _until_handled(t, seen, "minutely", "beside")
    if slots(t, "minutely").count(taken) != 1:
        t.world.violate("the time whose name was taken has no run")


async def schedules_beside_each_other(t: Teller) -> None:
    """With parameters of their own; what is suspended makes no runs, and nothing is made up for that time."""
    await _while_scheduled(
        t,
        100,
        {"name": "good", "interval": "30s", "catchUp": "All", "parameters": {"x": 1}},
        {"name": "bad", "interval": "40s", "catchUp": "Latest", "parameters": {"fail": True}},
        {"name": "never", "interval": "10s", "catchUp": "All", "suspend": True},
        {"name": "wrong", "interval": "10s", "catchUp": "All", "parameters": {"nothing": 1}},
    )
    await _until_handled(t, t.world.now() - timedelta(seconds=40), "good", "bad")
    for run in t.world.all(FLOW_RUN, t.namespace):
        schedule = run["metadata"]["labels"]["headwater.dev/schedule"]
        # Before the version is inspected nobody knows its parameters.
        ends = {"good": "Success", "bad": "Failed", "wrong": "Failed"}
        if schedule not in ends:
            t.world.violate(f"{schedule} has made {run['metadata']['name']}")
        t.world.expected[(t.namespace, run["metadata"]["name"])] = ends[schedule]


async def scheduled_runs_in_a_queue(t: Teller) -> None:
    entry = {"name": "often", "interval": "3s", "catchUp": "All"}
    await _while_scheduled(t, 20, entry, concurrency={"limit": 1}, startDeadlineSeconds=600)
    await _until_handled(t, t.world.now(), "often")


async def runs_cancelled(t: Teller) -> None:
    t.flow(workers=t.world.random.choice([0, 2]))
    for name in ("early", "let-finish", "stopped", "both"):
        t.run(name, "Cancelled", seconds=100000)
    t.cancel("early", t.world.random.choice(["Cancel", "Terminate"]))
    for name, wishes in (("let-finish", ["Cancel"]), ("stopped", ["Terminate"]), ("both", ["Cancel", "Terminate"])):
        if t.world.random.random() < 0.7:
            await t.begun(name)
        for wish in wishes:
            t.cancel(name, wish)
            await t.world.sleep(0, 1)


async def runs_cancelled_as_they_start(t: Teller) -> None:
    """Their containers start although their pods are being deleted by then."""
    t.flow(workers=t.world.random.choice([0, 2]))
    await t.ready()
    for name in ("a", "b", "c"):
        t.run(name, "Cancelled", seconds=100000)
        await t.world.until(lambda name=name: "status" in t.world.objects.get(("Pod", t.namespace, f"{name}-a1"), {}))
        t.cancel(name, "Cancel")


async def a_finished_run_cancelled(t: Teller) -> None:
    t.flow()
    t.run("done", "Success")
    await t.finished("done")
    t.cancel("done", t.world.random.choice(["Cancel", "Terminate"]))
    t.run("next", "Success")


async def a_queue_cancelled(t: Teller) -> None:
    t.flow(concurrency={"limit": 1})
    t.run("first", "Cancelled", seconds=100000)
    await t.begun("first")
    t.run("second", "Cancelled", seconds=100000)
    t.run("third", "Success")
    await t.world.sleep(0, 3)
    t.cancel("second", "Cancel")
    await t.world.sleep(0, 3)
    t.cancel("first", "Terminate")
    await t.finished("first", "second", "third")


async def versions_tell_which_is_current(t: Teller) -> None:
    t.flow()
    for tag in (2, 3, 1, 2):
        await t.world.sleep(0, 3)
        t.edit(image=f"acme/etl:{tag}")
    await t.ready()
    current = t.status(FLOW, "etl")["currentVersion"]["name"]

    def told() -> bool:
        found = {v["metadata"]["name"] for v in t.world.all(FLOW_VERSION, t.namespace) if v["status"].get("current")}
        return found == {current}

    await t.world.until(told)
    t.run("last", "Success")
    await t.finished("last")
    if result_of({"status": t.status(FLOW_RUN, "last")}) != ("True", "Success"):
        t.world.violate("the current version does not run")


STORIES = (
    every_time_has_its_run,
    every_time_has_one_run_though_few_are_kept,
    a_run_of_another_flow_has_a_times_name,
    schedules_beside_each_other,
    scheduled_runs_in_a_queue,
    runs_cancelled,
    runs_cancelled_as_they_start,
    a_finished_run_cancelled,
    a_queue_cancelled,
    versions_tell_which_is_current,
)
