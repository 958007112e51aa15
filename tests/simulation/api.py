"""The operator's way to the simulated API server; it fails as luck has it."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headwater.core.errors import ClusterError
from headwater_operator.api import ApiError
from headwater_operator.kinds import (
    Kind,
    Manifest,
)
from simulation.values import is_watched

if TYPE_CHECKING:
    from simulation.world import World


class FaultyApi:
    """The operator's way to the API server; it fails as the world's luck has it."""

    FAULTS = ("409", "429", "500", "timeout", "lost", "lost500", "slow", "kill", "killed after")

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.writes = 0
        self.requests: Counter[tuple[str, str]] = Counter()

    async def close(self) -> None:
        self.dead = True

    async def list(self, kind: Kind, selector: str | None = None) -> list[Manifest]:
        """All objects that the operator watches, as its selectors say no more than that."""
        return await self._call(
            lambda: [found for found in self.world.all(kind) if is_watched(found)], f"list {kind.plural}"
        )

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        return await self._call(lambda: self.world.get(kind, namespace, name), f"get {kind.name} {name}")

    async def create(self, manifest: Manifest) -> Manifest:
        made = copy.deepcopy(manifest)
        return await self._write(lambda: self.world.create(made), f"create {made['kind']} {made['metadata']['name']}")

    async def patch_status(
        self, kind: Kind, namespace: str, name: str, status: dict[str, Any], resource_version: str
    ) -> Manifest:
        patch = copy.deepcopy(status)
        return await self._write(
            lambda: self.world.patch_status(kind, namespace, name, patch, resource_version), f"patch {kind.name} {name}"
        )

    async def patch(self, kind: Kind, namespace: str, name: str, fields: dict[str, Any]) -> Manifest:
        changed = copy.deepcopy(fields)
        return await self._write(lambda: self.world.patch(kind, namespace, name, changed), f"patch {kind.name} {name}")

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> None:
        await self._write(lambda: self.world.delete(kind, namespace, name, uid), f"delete {kind.name} {name}")

    async def delete_all(self, kind: Kind, namespace: str, selector: str) -> None:
        def effect() -> None:
            for found in self.world.all(kind, namespace, selector):
                self.world.delete(kind, namespace, found["metadata"]["name"])

        await self._write(effect, f"delete {kind.plural} {selector}")

    async def _write(self, effect: Callable[[], Any], words: str) -> Any:
        self.writes += 1
        self.world.counts["writes"] += 1
        self.world.wrote_at = self.world.loop.time()
        return await self._call(effect, words)

    async def _call(self, effect: Callable[[], Any], words: str) -> Any:
        if self.dead:
            raise asyncio.CancelledError
        world = self.world
        fault = self._fault(words)
        await world.sleep(0.001, 0.005)
        if fault.isdecimal():
            reason = {"409": "Conflict", "429": "TooManyRequests", "500": "InternalError"}[fault]
            raise ApiError(int(fault), reason, f"made up: {fault}")
        if fault == "timeout":
            await world.sleep(0.5, 30)
            raise ClusterError("the API server does not answer: TimeoutError")
        if fault == "kill":
            await self._die()
        result = effect()
        if fault == "killed after":
            await self._die()
        if fault == "slow":
            await world.sleep(0.1, 5)
        await world.sleep(0.001, 0.005)
        if fault == "lost":
            await world.sleep(0.1, 30)
            raise ClusterError("the API server does not answer: TimeoutError")
        if fault == "lost500":
            raise ApiError(500, "InternalError", "made up: done, and failed")
        return result

    def _fault(self, words: str) -> str:
        if not self.world.faulty or self.world.random.random() > 0.15:
            return ""
        fault = self.world.random.choice(self.FAULTS)
        self.world.counts["faults"] += 1
        self.world.note(f"fault {fault}: {words}")
        return fault

    async def _die(self) -> None:
        if self.world.operator is None:
            raise ClusterError("killed while it started")
        self.world.spawn(self.world.kill())
        await asyncio.sleep(10**6)
