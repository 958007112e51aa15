"""Play stories to their end, and check what has to be true when all is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from headwater.resources.conditions import find
from headwater.resources.names import INSPECTION, ROLE_LABEL
from headwater_operator import queue as queue_module
from headwater_operator.kinds import (
    EVENT,
    FLOW,
    FLOW_RUN,
    FLOW_VERSION,
    POD,
    SECRET,
    SERVICE,
)
from simulation.clock import VirtualLoop
from simulation.teller import Teller
from simulation.values import (
    is_live,
    key_of,
    result_of,
)
from simulation.world import World


async def play(world: World, stories: list[Any]) -> None:
    await world.live()
    if world.faulty:
        world.spawn(world.interrupt_watches())
        world.spawn(world.kill_now_and_then())
    await asyncio.gather(*(story(Teller(world, f"ns{i}")) for i, story in enumerate(stories)))
    await world.until(lambda: not _unfinished(world))
    world.faulty = False
    world.deaf.clear()
    await world.until(lambda: world.operator is not None and world.loop.time() - world.wrote_at > 400)
    before = world.counts["looks"] - world.counts["events"]
    await asyncio.sleep(600)
    check(world, world.counts["looks"] - world.counts["events"] - before)


def _unfinished(world: World) -> list[str]:
    return [run["metadata"]["name"] for run in world.all(FLOW_RUN) if result_of(run) is None]


def check(world: World, looks: int) -> None:
    runs = {(run["metadata"]["namespace"], run["metadata"]["name"]): run for run in world.all(FLOW_RUN)}
    for key, state in world.expected.items():
        found = result_of(runs[key]) if key in runs else None
        if found is None or found[1] != state:
            world.violate(f"{key} is {found}, not {state}: {find(runs[key]['status']['conditions'], 'Succeeded')}")
    objects = [manifest for kind in (FLOW, FLOW_VERSION, FLOW_RUN) for manifest in world.all(kind)]
    for manifest in objects:
        seen = {condition["observedGeneration"] for condition in manifest["status"]["conditions"]}
        if {manifest["status"]["observedGeneration"], *seen} != {manifest["metadata"]["generation"]}:
            world.violate(f"{key_of(manifest)} speaks of an old generation")
    for flow in world.all(FLOW):
        if flow["status"].get("runs", {}).get("active"):
            world.violate(f"{key_of(flow)} counts {flow['status']['runs']} though all are finished")
    for pod in world.all(POD):
        if is_live(pod) and pod["metadata"]["labels"][ROLE_LABEL] != INSPECTION:
            world.violate(f"{key_of(pod)} lives on")
    for kind in (SERVICE, SECRET):
        for left in world.all(kind):
            owner = runs.get((left["metadata"]["namespace"], left["metadata"]["ownerReferences"][0]["name"]))
            # Its runner tells of a Secret that nobody may read; when a stranger took both that and the operator away,
            # the Secret goes with the run.
            forgotten = owner is not None and owner["status"].get("attempt", {}).get("podUID") in world.by_hand
            if not (forgotten and world.counts["deaths"]):
                world.violate(f"{key_of(left)} is left behind")
    _check_events(world, runs)
    if looks > 15 * len(objects):
        world.violate(f"{looks} looks at {len(objects)} objects in ten minutes of peace")
    made = world.counts["Flow"] + world.counts["FlowVersion"] + world.counts["FlowRun"]
    allowed = 40 * made + 6 * world.counts["faults"] + 3 * world.counts["Pod"]
    if world.counts["writes"] > allowed:
        world.violate(f"{world.counts['writes']} writes, more than {allowed}")


def _check_events(world: World, runs: dict[tuple[str, str], Any]) -> None:
    """An end is told once at most, whatever fails and whoever is killed; without faults it is told."""
    found = {(event["involvedObject"]["uid"], event["reason"]): event for event in world.all(EVENT)}
    for key, run in runs.items():
        _, state = result_of(run) or ("", "")
        event = found.pop((run["metadata"]["uid"], state), None)
        if event is None and not world.counts["faults"] and not world.counts["deaths"]:
            world.violate(f"{key}: nobody was told of its end")
        if event is not None and event["count"] != 1:
            world.violate(f"{key}: its end was told {event['count']} times")
    for uid, reason in found:
        if reason in ("Success", "Failed", "Crashed", "TimedOut", "Cancelled", "Skipped") and uid in {
            run["metadata"]["uid"] for run in runs.values()
        }:
            world.violate(f"{uid} was told to be {reason}, which it is not")


def run_stories(seed: int, faulty: bool, stories: list[Any], patch: Callable[[Any, str, Any], None]) -> World:
    """Play stories to their end and check."""
    loop = VirtualLoop()
    patch(queue_module, "time", SimpleNamespace(monotonic=loop.time))
    world = World(seed, faulty, loop)

    async def main() -> None:
        try:
            await play(world, stories)
        except AssertionError as error:
            world.violate(str(error))
        finally:
            for task in (tasks := list(world.tasks)):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for operator in world.operators:
                await operator.stop()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    return world
