"""The operator's parts, put together: what is seen becomes keys in the queue.

What is to be done follows from what exists, not from which event came.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
from datetime import UTC, datetime

from headwater.core.errors import ClusterError
from headwater.resources.names import CLAIM, FLOW_LABEL, LIMITS, ROLE_LABEL, RUN_LABEL, TASK_LIMITS, VERSION_LABEL
from headwater_operator.api import Api
from headwater_operator.apply import Applier
from headwater_operator.cache import Cache
from headwater_operator.kinds import CONFIG_MAP, FLOW, FLOW_RUN, FLOW_VERSION, POD, Kind, Manifest
from headwater_operator.line import front, is_finished, is_waiting, to_wake, to_wake_by_pod, waiting_for_limits
from headwater_operator.metrics import Metrics, Snapshot
from headwater_operator.queue import WorkKey, WorkQueue
from headwater_operator.reconcile import Reconciler
from headwater_operator.recorder import Recorder
from headwater_operator.runs.cancel import concerns_children
from headwater_operator.serving import Serving
from headwater_operator.settings import Settings
from headwater_operator.slots.keeper import slots_key
from headwater_operator.versions.plan import is_current, is_settled
from headwater_operator.witness import Witness

logger = logging.getLogger("headwater.operator")

RESYNC_SECONDS = 60.0
# Our objects are read anew at each so many of them; pods, which are fewer and fail more, at each.
RESYNCS_PER_READ = 10
# A Flow shows counts of its runs: it need not be written for each of a handful of quick changes.
FLOW_SUMMARY_SECONDS = 2.0
# What is watched of kinds that are not ours alone.
SELECTORS = {POD.name: FLOW_LABEL, CONFIG_MAP.name: f"{ROLE_LABEL} in ({CLAIM},{LIMITS},{TASK_LIMITS})"}
# A reconciliation that takes longer, or a key that waits longer, means that the operator is stuck.
STUCK_SECONDS = 120.0


class Operator:
    """The operator's parts, put together once the event loop runs."""

    def __init__(self, settings: Settings, api: Api) -> None:
        self.settings = settings
        self.api = api
        self.cache = Cache()
        self.recorder = Recorder(api)
        self.metrics = Metrics()
        applier = Applier(api, self.cache, Witness(self.recorder, self.metrics, self.cache))
        reconciler = Reconciler(self.cache, applier, settings)
        self.slots = reconciler.slots
        self.queue = WorkQueue(reconciler, told=self._reconciled)
        self.serving = Serving(self.metrics, self.snapshot, self.why_stuck, self.why_not_ready)
        self._is_ready = False
        self._begun_with: dict[str, str] = {}  # versions by uid, until the watch has told of them
        self._resync: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read everything, then begin: a run must not be judged while its flow or pods are still unread."""
        gc.disable()  # what is read stays, and to look through all of it again and again takes seconds
        try:
            await self._read(FLOW, FLOW_VERSION, FLOW_RUN, POD, CONFIG_MAP)
        finally:
            gc.enable()
        gc.freeze()
        self._begun_with = {
            manifest["metadata"]["uid"]: manifest["metadata"]["resourceVersion"]
            for kind in (FLOW, FLOW_VERSION, FLOW_RUN, POD, CONFIG_MAP)
            for manifest in self.cache.all(kind)
        }
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
        if FLOW in kinds:
            self.metrics.follow({_place(flow) for flow in self.cache.all(FLOW)})

    async def enqueue_all(self, resting: bool = True) -> None:
        """Look at everything; without those that are *resting* at what something may still happen to."""
        for kind in (FLOW, FLOW_VERSION, FLOW_RUN):
            for manifest in self.cache.all(kind):
                if resting or not self._rests(kind, manifest):
                    await self.queue.add(_key(kind, manifest))
        for namespace in {manifest["metadata"]["namespace"] for manifest in self.cache.all(FLOW)}:
            await self._enqueue_slots(namespace)

    def _rests(self, kind: Kind, manifest: Manifest) -> bool:
        """Whether an object is over, and nothing of it runs: of these there are many. When the time of a finished run
        is up is in the queue; so is a Flow with schedules, which looks at the clock itself."""
        if kind is FLOW:
            return bool(manifest["spec"].get("schedules"))
        if kind is FLOW_RUN:
            name = manifest["metadata"]["name"]
            return is_finished(manifest) and not self.cache.pods_of_run(manifest["metadata"]["namespace"], name)
        return kind is FLOW_VERSION and is_settled(manifest)

    async def _resync_for_ever(self) -> None:
        for count in itertools.count(1):
            await asyncio.sleep(RESYNC_SECONDS)
            everything = count % RESYNCS_PER_READ == 0
            try:
                await self._read(*((FLOW, FLOW_VERSION, FLOW_RUN, POD, CONFIG_MAP) if everything else (POD,)))
            except ClusterError as error:
                logger.warning("The objects could not be read anew: %s", error)
            await self.enqueue_all(resting=everything)

    async def observe(self, kind: Kind, event: str | None, manifest: Manifest) -> None:
        """Take in a watch event and enqueue what it may concern."""
        begun_with = self._begun_with.pop(manifest["metadata"]["uid"], None)
        if event is None and begun_with == manifest["metadata"]["resourceVersion"]:
            return  # the watch begins with all that there is, and this was read, and enqueued, at the start
        if event == "DELETED":
            self.cache.remove(kind, manifest)
        elif not self.cache.upsert(kind, manifest):
            return
        namespace, deleted = manifest["metadata"]["namespace"], event == "DELETED"
        await self._enqueue_slots(namespace)
        if kind is POD:
            await self._enqueue_owner(manifest)
            await self._enqueue(to_wake_by_pod(self.cache, manifest, deleted))
            return
        if kind is CONFIG_MAP:
            await self._enqueue(waiting_for_limits(self.cache, namespace))
            return
        await self.queue.add(_key(kind, manifest), FLOW_SUMMARY_SECONDS if _is_summary(kind, manifest) else 0.0)
        if kind is FLOW_RUN:
            if deleted:
                self.recorder.withdraw(manifest)
            await self._enqueue(to_wake(self.cache, manifest, deleted))
            if concerns_children(manifest):
                await self._enqueue(self.cache.children_of(namespace, manifest["metadata"]["name"]))
            # Its own flow has another number of runs, and those of its children may give them up.
            concerned = {manifest["spec"]["flow"]}
            if deleted or is_finished(manifest):
                children = self.cache.children_of(namespace, manifest["metadata"]["name"])
                concerned |= {child["spec"]["flow"] for child in children}
            for name in concerned:
                await self.queue.add(WorkKey(FLOW.name, namespace, name), FLOW_SUMMARY_SECONDS)
        elif kind is FLOW_VERSION:
            await self.queue.add(WorkKey(FLOW.name, namespace, manifest["spec"]["flow"]))
            await self._enqueue_waiting_runs(namespace, manifest["spec"]["flow"])
        else:
            self._follow(manifest)
            versions = self.cache.versions_of(namespace, manifest["metadata"]["name"])
            for version in versions:
                if version.get("status", {}).get("current", False) != is_current(version, manifest):
                    await self.queue.add(_key(FLOW_VERSION, version))
            changed = deleted or not _is_summary(kind, manifest)
            if changed:
                await self._enqueue_waiting_runs(namespace, manifest["metadata"]["name"])
            await self._enqueue(front(self.cache, namespace, manifest["metadata"]["name"], changed))

    def _follow(self, flow: Manifest) -> None:
        """A Flow has metrics as long as there is one of its name."""
        place = _place(flow)
        if self.cache.has_flow(*place):
            self.metrics.flow_seen(place)
        else:
            self.metrics.flow_gone(place)

    async def _enqueue_owner(self, pod: Manifest) -> None:
        labels, namespace = pod["metadata"].get("labels", {}), pod["metadata"]["namespace"]
        if RUN_LABEL in labels:
            await self.queue.add(WorkKey(FLOW_RUN.name, namespace, labels[RUN_LABEL]))
        elif VERSION_LABEL in labels:
            await self.queue.add(WorkKey(FLOW_VERSION.name, namespace, labels[VERSION_LABEL]))

    async def _enqueue_waiting_runs(self, namespace: str, flow: str) -> None:
        """Runs that have not begun may wait for their flow or its version."""
        await self._enqueue([run for run in self.cache.runs_of(namespace, flow) if is_waiting(run)])

    async def _enqueue_slots(self, namespace: str) -> None:
        if self.slots.concerns(namespace):
            await self.queue.add(slots_key(namespace))

    async def _enqueue(self, runs: list[Manifest]) -> None:
        for run in runs:
            await self.queue.add(_key(FLOW_RUN, run))

    # What probes and Prometheus ask

    def why_stuck(self) -> str:
        age = self.queue.oldest_seconds()
        return f"a reconciliation has been waiting or running for {age:.0f} s" if age > STUCK_SECONDS else ""

    def why_not_ready(self) -> str:
        return "" if self._is_ready else "still reading"

    def snapshot(self) -> Snapshot:
        return Snapshot(
            census=self.cache.tally.census(self.cache.has_flow, datetime.now(UTC)),
            ready=self._is_ready,
            queue_length=self.queue.due(),
            queue_oldest_seconds=self.queue.oldest_seconds(),
            requests=dict(self.api.requests),
            events=dict(self.recorder.outcomes),
        )

    def _reconciled(self, key: WorkKey, seconds: float, failed: bool) -> None:
        self.metrics.reconciled(key.kind, seconds, failed)


def _is_summary(kind: Kind, manifest: Manifest) -> bool:
    """Whether a Flow has changed in its status only, which is ours."""
    seen = manifest.get("status", {}).get("observedGeneration")
    return kind is FLOW and seen == manifest["metadata"].get("generation")


def _place(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _key(kind: Kind, manifest: Manifest) -> WorkKey:
    return WorkKey(kind.name, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
