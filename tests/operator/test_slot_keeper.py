"""No slot is lent twice, whatever fails: grants are written to a simulated API server whose answers get lost, by an
operator that sees late what has changed, to runs that are deleted while they stop."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from headwater.core.errors import ClusterError
from headwater_operator.apply import Applier
from headwater_operator.cache import Cache
from headwater_operator.kinds import CONFIG_MAP, FLOW_RUN, POD
from headwater_operator.metrics import Metrics
from headwater_operator.recorder import Recorder
from headwater_operator.slots.keeper import SlotKeeper
from headwater_operator.witness import Witness
from simulation.api import FaultyApi
from simulation.clock import VirtualLoop
from simulation.server import Server

LIMIT = 3


class Runner:
    """A run's side of the bargain, in the run's status; it goes on until its pod is gone."""

    def __init__(self, server: Server, name: str, tasks: int) -> None:
        self.server, self.name = server, name
        self.waiting, self.used, self.ceiling, self.heard = tasks, 0, 0, 0
        metadata = {"name": name, "namespace": "sales"}
        run = {"apiVersion": "headwater.dev/v1alpha1", "kind": "FlowRun", "metadata": metadata, "spec": {"flow": "etl"}}
        self.run = server.create(run)
        self.is_deleted = False

    def hear(self) -> None:
        if not self.is_deleted:
            limits = self.server.get(FLOW_RUN, "sales", self.name)["status"].get("taskLimits") or {}
            self.heard = limits.get("serial", 0)
            self.ceiling = next((tag["granted"] for tag in limits.get("tags", [])), 0)

    def say(self) -> None:
        if not self.is_deleted:
            tag = {"name": "db", "wanted": self.used + self.waiting, "held": max(self.ceiling, self.used)}
            demand = {"serial": self.heard, "tags": [tag]}
            self.server.patch_status(FLOW_RUN, "sales", self.name, {"taskDemand": demand}, None)

    def begin(self) -> None:
        if self.waiting and self.used < self.ceiling:
            self.waiting, self.used = self.waiting - 1, self.used + 1

    def end(self) -> None:
        self.used = max(0, self.used - 1)


class Scene:
    """The keeper with what it sees of the server."""

    def __init__(self, make: Any, server: Server) -> None:
        self.make, self.server = make, server
        self.api: Any = FaultyApi(server)  # type: ignore[arg-type]
        self.runners = [Runner(server, f"r{i}", 20) for i in range(4)]
        self.restart()

    def restart(self) -> None:
        """An operator that comes anew reads everything first."""
        self.cache = Cache()
        recorder = Recorder(self.api, self.server.now)
        self.keeper = SlotKeeper(self.cache, Applier(self.api, self.cache, Witness(recorder, Metrics(), self.cache)))
        labels = {"headwater.dev/role": "task-limits"}
        limits = {"metadata": self.make.metadata("tags", labels=labels), "data": {"db": str(LIMIT)}}
        self.cache.upsert(CONFIG_MAP, limits)
        for runner in self.runners:
            self.see(runner)

    def see(self, runner: Runner) -> None:
        if not runner.is_deleted:
            self.cache.upsert(FLOW_RUN, self.server.get(FLOW_RUN, "sales", runner.name))

    def delete(self, runner: Runner) -> None:
        """The run goes at once, its pod stops."""
        run = self.server.get(FLOW_RUN, "sales", runner.name)
        self.cache.upsert(POD, self._pod(runner))
        self.server.delete(FLOW_RUN, "sales", runner.name)
        self.cache.remove(FLOW_RUN, run)
        runner.is_deleted = True

    def stop(self, runner: Runner) -> None:
        self.cache.remove(POD, self._pod(runner))
        self.runners.remove(runner)

    def _pod(self, runner: Runner) -> Any:
        pod = self.make.pod(f"{runner.name}-a1", "runner")
        pod["metadata"]["labels"]["headwater.dev/run"] = runner.name
        owner = {"kind": "FlowRun", "name": runner.name, "uid": runner.run["metadata"]["uid"]}
        return {**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}

    async def decide(self) -> None:
        with contextlib.suppress(ClusterError):
            await self.keeper("sales")

    def check(self) -> None:
        assert sum(runner.used for runner in self.runners) <= LIMIT


async def trouble(scene: Scene, dice: random.Random) -> None:
    deeds = (*("hear", "say", "see", "decide", "begin") * 4, "end", "end", "restart", "delete", "stop")
    for _ in range(400):
        runner = dice.choice(scene.runners)
        deed = dice.choice(deeds)
        stopping = [one for one in scene.runners if one.is_deleted]
        if deed == "see":
            scene.see(runner)
        elif deed == "decide":
            await scene.decide()
        elif deed == "restart" and not stopping and dice.random() < 0.2:
            scene.restart()
        elif deed == "delete" and not stopping and len(scene.runners) > 2 and runner.used:
            scene.delete(runner)
        elif deed == "stop" and stopping and dice.random() < 0.5:
            scene.stop(stopping[0])
        elif deed in ("hear", "say", "begin", "end"):
            getattr(runner, deed)()
        scene.check()


async def peace(scene: Scene) -> None:
    for runner in [one for one in scene.runners if one.is_deleted]:
        scene.stop(runner)
    for _ in range(60):
        for runner in scene.runners:
            for deed in (runner.end, runner.say, lambda runner=runner: scene.see(runner)):
                deed()
            await scene.decide()
            runner.hear()
            runner.begin()
            scene.check()
    assert [runner.waiting for runner in scene.runners] == [0] * len(scene.runners)


@pytest.mark.parametrize("seed", range(10))
def test_no_slot_is_lent_twice_and_all_get_theirs_in_the_end(make, seed: int) -> None:
    loop = VirtualLoop()
    server = Server(seed, True, loop)

    async def main() -> None:
        scene = Scene(make, server)
        await trouble(scene, random.Random(seed))
        server.faulty = False
        await peace(scene)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


class Lost:
    """An applier whose first write for a run is not answered."""

    def __init__(self) -> None:
        self.written: dict[str, Any] = {}

    async def write_status(self, kind: Any, run: Any, status: dict[str, Any]) -> bool:
        if run["metadata"]["name"] not in self.written:
            self.written[run["metadata"]["name"]] = status
            raise ClusterError("the API server does not answer")
        return True


def wanting(make: Any, name: str, version: int = 1) -> dict[str, Any]:
    run = make.run(name, status={"taskDemand": {"serial": 0, "tags": [{"name": "db", "wanted": 2, "held": 0}]}})
    run["metadata"]["resourceVersion"] = str(version)
    return run


@pytest.mark.parametrize("seen_anew", [False, True])
def test_a_grant_that_may_have_arrived_counts_until_the_run_is_seen_anew(make, seen_anew: bool) -> None:
    cache, applier = Cache(), Lost()
    keeper = SlotKeeper(cache, applier)  # type: ignore[arg-type]
    labels = {"headwater.dev/role": "task-limits"}
    cache.upsert(CONFIG_MAP, {"metadata": make.metadata("tags", labels=labels), "data": {"db": "2"}})
    cache.upsert(FLOW_RUN, wanting(make, "a"))
    with pytest.raises(ClusterError):
        asyncio.run(keeper("sales"))
    # a runs no more tasks; whether b gets its slots depends on whether a's grant may have arrived.
    gone = wanting(make, "a", version=2 if seen_anew else 1)
    gone["status"]["taskDemand"]["tags"][0]["wanted"] = 0
    cache.upsert(FLOW_RUN, gone)
    cache.upsert(FLOW_RUN, wanting(make, "b"))
    with contextlib.suppress(ClusterError):
        asyncio.run(keeper("sales"))
    granted = {tag["name"]: tag["granted"] for tag in applier.written["b"]["taskLimits"]["tags"]}
    assert granted == {"db": 2 if seen_anew else 0}
