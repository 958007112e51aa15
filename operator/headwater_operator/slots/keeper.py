"""Give the slots of a namespace's limited tags to the runs: one decision at a time for each namespace.

Two runs are never decided about at once, so that no slot is given twice; a grant whose writing has failed counts until
the run has been seen anew, as it may have arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.resources.names import TASK_LIMITS
from headwater_operator import pods
from headwater_operator.apply import Applier, is_owned
from headwater_operator.cache import Cache
from headwater_operator.kinds import FLOW_RUN, Manifest
from headwater_operator.line import has_ended
from headwater_operator.queue import WorkKey
from headwater_operator.runs.concurrency import limits_of
from headwater_operator.slots.allot import Slots, allot
from headwater_operator.slots.seats import grant, seat_of

# The kind of the keys that stand for a namespace's slots; no object has it.
TASK_SLOTS = "TaskSlots"
# After a run was found to be newer than it was known.
AGAIN_SECONDS = 0.05


def slots_key(namespace: str) -> WorkKey:
    return WorkKey(TASK_SLOTS, namespace, "")


@dataclass(frozen=True)
class Unsure:
    """A grant that may have been written to a run as it was at *version*."""

    version: str
    slots: Slots


class SlotKeeper:
    """Remembers the runs that have slots, also those that are deleted while their pods stop."""

    def __init__(self, cache: Cache, applier: Applier) -> None:
        self._cache = cache
        self._applier = applier
        self._known: dict[str, dict[str, Manifest]] = {}  # by namespace and uid
        self._unsure: dict[str, Unsure] = {}  # by uid

    def concerns(self, namespace: str) -> bool:
        """Whether there are runs in a namespace that have slots or want some."""
        return namespace in self._known or bool(self._cache.runs_with_demand(namespace))

    async def __call__(self, namespace: str) -> float | None:
        """Bring the grants of a namespace to where they should be; return when to look again, in seconds."""
        runs = self._runs(namespace)
        if not runs:
            return None
        limits = limits_of(self._cache.config_maps(namespace, TASK_LIMITS))
        seats = [seat_of(run, self._leaves(run), self._promised(run)) for run in runs]
        allotted = allot(limits, seats)
        written = []
        for run in runs:
            slots = allotted.get(run["metadata"]["uid"])
            status = grant(run, slots, limits) if slots else None
            if slots and status is not None:
                written.append(await self._write(run, status, slots))
        return None if all(written) else AGAIN_SECONDS

    def _runs(self, namespace: str) -> list[Manifest]:
        """Those that have to do with limited tags and of which something may still run, as they were last seen."""
        found = {run["metadata"]["uid"]: run for run in self._cache.runs_with_demand(namespace)}
        known = self._known.get(namespace, {})
        for uid, run in known.items():
            found.setdefault(uid, self._there(run) or run)
        kept = {uid: run for uid, run in found.items() if not self._leaves(run) or self._has_pods(run)}
        for gone in known.keys() - kept.keys():
            self._unsure.pop(gone, None)
        self._known[namespace] = kept
        if not kept:
            del self._known[namespace]
        return list(kept.values())

    def _there(self, run: Manifest) -> Manifest | None:
        """The run as it is now, None when it was deleted."""
        found = self._cache.get(FLOW_RUN, run["metadata"]["namespace"], run["metadata"]["name"])
        return found if found is not None and found["metadata"]["uid"] == run["metadata"]["uid"] else None

    def _leaves(self, run: Manifest) -> bool:
        """Whether a run is over, deleted, or about to be."""
        there = self._there(run)
        return there is None or has_ended(there) or "deletionTimestamp" in there["metadata"]

    def _has_pods(self, run: Manifest) -> bool:
        """Whether tasks of a run that leaves may still run. Where the runner has told the end, none does."""
        metadata = run["metadata"]
        if "report" in run.get("status", {}):
            return False
        found = self._cache.pods_of_run(metadata["namespace"], metadata["name"])
        return any(is_owned(pod, metadata["uid"]) and not pods.has_ended(pod) for pod in found)

    def _promised(self, run: Manifest) -> Slots:
        unsure = self._unsure.get(run["metadata"]["uid"])
        if unsure is None:
            return {}
        if unsure.version != run["metadata"]["resourceVersion"]:
            del self._unsure[run["metadata"]["uid"]]  # what was not written then never will be
            return {}
        return unsure.slots

    async def _write(self, run: Manifest, status: dict[str, object], slots: Slots) -> bool:
        uid = run["metadata"]["uid"]
        promised = self._promised(run)
        larger = {tag: max(count, promised.get(tag, 0)) for tag, count in slots.items()}
        self._unsure[uid] = Unsure(run["metadata"]["resourceVersion"], larger)
        written = await self._applier.write_status(FLOW_RUN, run, status)
        self._unsure.pop(uid, None)
        return written
