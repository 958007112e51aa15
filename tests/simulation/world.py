"""One operator at a time on the simulated API server: it lives, is killed and lives again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from headwater.core.errors import ClusterError
from headwater_operator.apply import Applier
from headwater_operator.kinds import (
    Manifest,
)
from headwater_operator.parts import Operator
from headwater_operator.queue import WorkKey, WorkQueue
from headwater_operator.reconcile import Reconciler
from headwater_operator.recorder import Recorder
from headwater_operator.witness import Witness
from simulation.api import FaultyApi
from simulation.clock import VirtualLoop
from simulation.kubelet import Kubelet
from simulation.server import Server
from simulation.values import (
    SETTINGS,
    WATCHED,
)


class World(Server):
    """An API server, its pods, and the operator."""

    def __init__(self, seed: int, faulty: bool, loop: VirtualLoop) -> None:
        super().__init__(seed, faulty, loop)
        self.api: FaultyApi | None = None

    def begin_pod(self, pod: Manifest) -> None:
        self.spawn(Kubelet(self, pod).play())

    # The operator's life

    async def live(self) -> None:
        """Start an operator, again when the API server does not let it."""
        while self.operator is None:
            self.api = FaultyApi(self)
            operator = Operator(SETTINGS, self.api)  # type: ignore[arg-type]
            self.operators.append(operator)
            operator.recorder = Recorder(operator.api, self.now)
            applier = Applier(
                operator.api, operator.cache, Witness(operator.recorder, operator.metrics, operator.cache)
            )
            reconciler = Reconciler(operator.cache, applier, SETTINGS, self.now)
            operator.queue = WorkQueue(self._counted(reconciler))
            try:
                await operator.start()
            except ClusterError:
                await self.sleep(0.5, 2)
                continue
            self.operator = operator
            self.note("operator lives")
            for kind in WATCHED:
                for manifest in self.all(kind):
                    self._emit(None, manifest)

    def _counted(self, reconcile: Reconciler) -> Callable[[WorkKey], Awaitable[float | None]]:
        async def counted(key: WorkKey) -> float | None:
            self.counts["looks"] += 1
            return await reconcile(key)

        return counted

    async def kill(self) -> None:
        operator, self.operator = self.operator, None
        if operator is None or self.api is None:
            return
        self.note("operator dies")
        self.counts["deaths"] += 1
        self.api.dead = True
        await operator.stop()
        await self.sleep(0.05, self.random.choice([1, 5, 60]))
        await self.live()

    async def kill_now_and_then(self) -> None:
        while self.faulty:
            await self.sleep(0.1, 60)
            if self.faulty:
                await self.kill()
