"""The only module with Kopf in it: watch events become keys in the queue; probes and settings.

Kopf watches and nothing else: no finalizers, no annotations, no timers. What is to be done
follows from what exists, not from which event came.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from datetime import UTC, datetime
from typing import Any

import kopf

from headwater.core.errors import ClusterError
from headwater.resources.names import CLAIM, FLOW_LABEL, GROUP, LIMITS, ROLE_LABEL, RUN_LABEL, VERSION, VERSION_LABEL
from headwater_operator.api import Api, connect
from headwater_operator.apply import Applier
from headwater_operator.cache import Cache
from headwater_operator.census import Census, census
from headwater_operator.kinds import CONFIG_MAP, FLOW, FLOW_RUN, FLOW_VERSION, POD, Kind, Manifest
from headwater_operator.line import front, is_waiting, to_wake, to_wake_by_pod, waiting_for_limits
from headwater_operator.metrics import Metrics
from headwater_operator.queue import WorkKey, WorkQueue
from headwater_operator.reconcile import Reconciler
from headwater_operator.recorder import Recorder
from headwater_operator.runs.cancel import concerns_children
from headwater_operator.serving import Serving
from headwater_operator.settings import Settings
from headwater_operator.witness import Witness

logger = logging.getLogger("headwater.operator")

RESYNC_SECONDS = 60.0
# Our objects are read anew at each so many of them; pods, which are fewer and fail more, at each.
RESYNCS_PER_READ = 10
# A Flow shows counts of its runs: it need not be written for each of a handful of quick changes.
FLOW_SUMMARY_SECONDS = 2.0
# What is watched of kinds that are not ours alone.
SELECTORS = {POD.name: FLOW_LABEL, CONFIG_MAP.name: f"{ROLE_LABEL} in ({CLAIM},{LIMITS})"}
# A reconciliation that takes longer, or a key that waits longer, means that the operator is stuck.
STUCK_SECONDS = 120.0
# Where probes and Prometheus ask.
PORT = 8080


class Operator:
    """The operator's parts, put together once the event loop runs."""

    def __init__(self, settings: Settings, api: Api) -> None:
        self.settings = settings
        self.api = api
        self.cache = Cache()
        self.recorder = Recorder(api)
        self.metrics = Metrics()
        applier = Applier(api, self.cache, Witness(self.recorder, self.metrics))
        self.queue = WorkQueue(Reconciler(self.cache, applier, settings), told=self._reconciled)
        self.serving = Serving(self.metrics, self.why_stuck, lambda: "" if self.ready() else "still reading")
        self.metrics.watch(self)
        self._is_ready = False
        self._resync: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read everything, then begin: a run must not be judged while its flow or pods are still unread."""
        await self._read(FLOW, FLOW_VERSION, FLOW_RUN, POD, CONFIG_MAP)
        self.recorder.start()
        self.queue.start()
        await self.enqueue_all()
        self._is_ready = True
        self._resync = asyncio.create_task(self._resync_for_ever())

    async def stop(self) -> None:
        if self._resync is not None:
            self._resync.cancel()
        await self.queue.stop()
        await self.recorder.stop()
        await self.serving.stop()
        await self.api.close()

    async def _read(self, *kinds: Kind) -> None:
        """Read all objects of these kinds. What is not there any more is forgotten: where a watch was
        interrupted for long, nobody tells of what was deleted meanwhile."""
        for kind in kinds:
            before = list(self.cache.all(kind))
            found = await self.api.list(kind, SELECTORS.get(kind.name))
            for manifest in found:
                self.cache.upsert(kind, manifest)
            there = {manifest["metadata"]["uid"] for manifest in found}
            for manifest in before:
                if manifest["metadata"]["uid"] not in there:
                    await self.observe(kind, "DELETED", manifest)

    async def enqueue_all(self) -> None:
        for kind in (FLOW, FLOW_VERSION, FLOW_RUN):
            for manifest in self.cache.all(kind):
                await self.queue.add(_key(kind, manifest))

    async def _resync_for_ever(self) -> None:
        for count in itertools.count(1):
            await asyncio.sleep(RESYNC_SECONDS)
            everything = count % RESYNCS_PER_READ == 0
            try:
                await self._read(*((FLOW, FLOW_VERSION, FLOW_RUN, POD, CONFIG_MAP) if everything else (POD,)))
            except ClusterError as error:
                logger.warning("The objects could not be read anew: %s", error)
            await self.enqueue_all()

    async def observe(self, kind: Kind, event: str | None, manifest: Manifest) -> None:
        """Take in a watch event and enqueue what it may concern."""
        if event == "DELETED":
            self.cache.remove(kind, manifest)
        elif not self.cache.upsert(kind, manifest):
            return
        namespace, deleted = manifest["metadata"]["namespace"], event == "DELETED"
        if kind is POD:
            await self._enqueue_owner(manifest)
            await self._enqueue(to_wake_by_pod(self.cache, manifest, deleted))
            return
        if kind is CONFIG_MAP:
            await self._enqueue(waiting_for_limits(self.cache, namespace))
            return
        await self.queue.add(_key(kind, manifest), FLOW_SUMMARY_SECONDS if _is_summary(kind, manifest) else 0.0)
        if kind is FLOW_RUN:
            await self._enqueue(to_wake(self.cache, manifest, deleted))
            if concerns_children(manifest):
                await self._enqueue(self.cache.children_of(namespace, manifest["metadata"]["name"]))
            await self.queue.add(WorkKey(FLOW.name, namespace, manifest["spec"]["flow"]), FLOW_SUMMARY_SECONDS)
        elif kind is FLOW_VERSION:
            await self.queue.add(WorkKey(FLOW.name, namespace, manifest["spec"]["flow"]))
            await self._enqueue_waiting_runs(namespace, manifest["spec"]["flow"])
        else:
            if deleted or not _is_summary(kind, manifest):
                await self._enqueue_waiting_runs(namespace, manifest["metadata"]["name"])
            await self._enqueue(front(self.cache, namespace, manifest["metadata"]["name"]))

    async def _enqueue_owner(self, pod: Manifest) -> None:
        labels, namespace = pod["metadata"].get("labels", {}), pod["metadata"]["namespace"]
        if RUN_LABEL in labels:
            await self.queue.add(WorkKey(FLOW_RUN.name, namespace, labels[RUN_LABEL]))
        elif VERSION_LABEL in labels:
            await self.queue.add(WorkKey(FLOW_VERSION.name, namespace, labels[VERSION_LABEL]))

    async def _enqueue_waiting_runs(self, namespace: str, flow: str) -> None:
        """Runs that have not begun may wait for their flow or its version."""
        await self._enqueue([run for run in self.cache.runs_of(namespace, flow) if is_waiting(run)])

    async def _enqueue(self, runs: list[Manifest]) -> None:
        for run in runs:
            await self.queue.add(_key(FLOW_RUN, run))

    # What probes and Prometheus ask

    def why_stuck(self) -> str:
        age = self.queue.oldest_seconds()
        return f"a reconciliation has been waiting or running for {age:.0f} s" if age > STUCK_SECONDS else ""

    def ready(self) -> bool:
        return self._is_ready

    def census(self) -> Census:
        return census(self.cache.all(FLOW_RUN), datetime.now(UTC))

    def queue_length(self) -> int:
        return self.queue.due()

    def queue_oldest_seconds(self) -> float:
        return self.queue.oldest_seconds()

    def requests(self) -> dict[tuple[str, str], int]:
        return dict(self.api.requests)

    def events(self) -> dict[str, int]:
        return dict(self.recorder.outcomes)

    def _reconciled(self, key: WorkKey, seconds: float, failed: bool) -> None:
        self.metrics.reconciled(key.kind, seconds, failed)


def _is_summary(kind: Kind, manifest: Manifest) -> bool:
    """Whether a Flow has changed in its status only, which is ours."""
    seen = manifest.get("status", {}).get("observedGeneration")
    return kind is FLOW and seen == manifest["metadata"].get("generation")


def _key(kind: Kind, manifest: Manifest) -> WorkKey:
    return WorkKey(kind.name, manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def register(registry: kopf.OperatorRegistry, settings: Settings) -> None:
    """Add the handlers to a registry."""
    operator: list[Operator] = []

    own = settings  # Kopf hands its handlers an argument of the same name

    @kopf.on.startup(registry=registry, id="headwater-start")
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        operator.append(Operator(own, connect(dict(os.environ))))
        await operator[0].serving.start(PORT)
        await operator[0].start()

    @kopf.on.login(registry=registry, id="headwater-login")
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.cleanup(registry=registry, id="headwater-stop")
    async def stop(**_: Any) -> None:
        if operator:
            await operator[0].stop()

    for kind in (FLOW, FLOW_VERSION, FLOW_RUN):
        kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=f"see-{kind.plural}")(
            _observer(operator, kind)
        )
    for kind in (POD, CONFIG_MAP):
        kopf.on.event("", "v1", kind.plural, registry=registry, id=f"see-{kind.plural}")(_observer(operator, kind))


def _observer(operator: list[Operator], kind: Kind) -> Any:
    async def observe(event: Any, **_: Any) -> None:
        manifest = event["object"]
        manifest.setdefault("apiVersion", kind.api_version)
        manifest.setdefault("kind", kind.name)
        await operator[0].observe(kind, event["type"], dict(manifest))

    return observe


def configure(settings: kopf.OperatorSettings) -> None:
    """Keep Kopf to watching, and out of the way of other operators that use it."""
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 600
    settings.watching.label_selectors["pods"] = SELECTORS[POD.name]
    settings.watching.label_selectors["configmaps"] = SELECTORS[CONFIG_MAP.name]
    settings.watching.chunk_size = 500
    settings.queueing.worker_limit = 200
    settings.process.ultimate_exiting_timeout = 20
