"""An API server in memory, with its garbage collector, that checks what is always true of what is made."""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from headwater.resources.conditions import timestamp
from headwater.resources.names import ATTEMPT_LABEL, HASH_LABEL, ROLE_LABEL, RUNNER, SCHEDULE_LABEL, WORKER
from headwater_operator.api import ApiError
from headwater_operator.kinds import (
    CONFIG_MAP,
    FLOW,
    FLOW_RUN,
    FLOW_VERSION,
    KINDS,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Manifest,
    kind_of,
)
from headwater_operator.parts import Operator
from simulation.clock import VirtualLoop
from simulation.values import (
    BEGIN,
    WATCHED,
    Key,
    has_ended,
    is_live,
    is_watched,
    key_of,
    matches,
    merged,
    plays,
    result_of,
    schema_of,
)


class Server:
    """Objects, watches, owners and time; *faulty* delays, repeats and forgets events by the luck of the seed."""

    def __init__(self, seed: int, faulty: bool, loop: VirtualLoop) -> None:
        self.random = random.Random(seed)
        self.faulty = faulty
        self.loop = loop
        self.objects: dict[Key, Manifest] = {}
        self.last = 0
        self.operator: Operator | None = None
        self.operators: list[Operator] = []  # all that ever lived
        self.deaf: set[str] = set()  # kinds whose watch is interrupted
        self.absent_images: set[str] = set()
        self.pod_limits: dict[str, int] = {}
        self.full: set[tuple[str, str]] = set()  # namespaces and kinds of which a quota lets nothing more be made
        self.expected: dict[tuple[str, str], str] = {}
        self.by_hand: set[str] = set()  # uids of pods that the story took away
        self.runners: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.numbers: dict[tuple[str, int], str] = {}
        self.hashes: dict[tuple[str, str], int] = {}
        self.violations: list[str] = []
        self.slots: set[tuple[str, str]] = set()  # the times of schedules that have had a run
        self.history: list[str] = []
        self.counts: Counter[str] = Counter()
        self.wrote_at = 0.0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.defaults = {
            kind.name: schema["properties"]["status"]["default"]
            for kind in (FLOW, FLOW_VERSION, FLOW_RUN)
            for schema in [schema_of(kind)]
        }

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.loop.time() - 1000.0)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.violate(f"the test's own task failed: {task.exception()!r}")

    async def sleep(self, least: float, most: float) -> None:
        await asyncio.sleep(self.random.uniform(least, most))

    async def until(self, true: Callable[[], object], seconds: float = 3000.0) -> None:
        began = self.loop.time()
        while not true():
            passed = self.loop.time() - began
            assert passed < seconds, "waited in vain"
            await asyncio.sleep(max(0.1, passed / 50))

    def note(self, text: str) -> None:
        self.history.append(f"{self.loop.time() - 1000:9.3f} {text}")

    def violate(self, text: str) -> None:
        self.note(f"VIOLATION {text}")
        self.violations.append(text)

    def state(self) -> list[str]:
        found = []
        for (kind, namespace, name), manifest in sorted(self.objects.items()):
            said = [
                f"{c['type']}={c['status']}/{c['reason']}" for c in manifest.get("status", {}).get("conditions", [])
            ]
            words = manifest.get("status", {}).get("phase") or " ".join(said)
            found.append(f"{kind} {namespace}/{name} {manifest['metadata']['uid']} {words}")
        return found

    # What the API server does

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        try:
            return copy.deepcopy(self.objects[(kind.name, namespace, name)])
        except KeyError:
            raise ApiError(404, "NotFound", f'{kind.plural} "{name}" not found') from None

    def has(self, kind: Kind, namespace: str, name: str) -> bool:
        return (kind.name, namespace, name) in self.objects

    def all(self, kind: Kind, namespace: str | None = None, selector: str | None = None) -> list[Manifest]:
        wanted = [part.partition("=") for part in selector.split(",")] if selector else []
        return [
            copy.deepcopy(manifest)
            for (name, space, _), manifest in self.objects.items()
            if name == kind.name and namespace in (None, space) and matches(manifest, wanted)
        ]

    def create(self, manifest: Manifest) -> Manifest:
        kind, made = kind_of(manifest), copy.deepcopy(manifest)
        metadata = made["metadata"]
        key = (kind.name, metadata["namespace"], metadata["name"])
        if (metadata["namespace"], kind.name) in self.full:  # asked before the name is
            words = f'{kind.plural} "{metadata["name"]}" is forbidden: exceeded quota: q'
            raise ApiError(403, "Forbidden", words)
        if kind is POD:
            self._admit(made)
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", f'{kind.plural} "{metadata["name"]}" already exists')
        self.last += 1
        metadata |= {
            "uid": f"u{self.last}",
            "generation": 1,
            "creationTimestamp": self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if kind.name in self.defaults:
            made["status"] = copy.deepcopy(self.defaults[kind.name])
        if kind is SERVICE:
            made["spec"]["clusterIP"] = f"10.0.{self.last // 250}.{self.last % 250}"
        self._check_new(kind, made)
        self._put(made, "ADDED")
        owners = {owner["uid"] for owner in metadata.get("ownerReferences", [])}
        if owners and not owners & {held["metadata"]["uid"] for held in self.objects.values()}:
            self.spawn(self._collect(key, metadata["uid"]))
        if kind is POD:
            self.begin_pod(made)
        return copy.deepcopy(made)

    def _admit(self, pod: Manifest) -> None:
        namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        if not self.has(SERVICE_ACCOUNT, namespace, account):
            raise ApiError(
                403, "Forbidden", f'error looking up service account {namespace}/{account}: "{account}" not found'
            )
        used = sum(1 for other in self.all(POD, namespace) if not has_ended(other))
        if used >= self.pod_limits.get(namespace, 10**6):
            raise ApiError(403, "Forbidden", f'pods "{pod["metadata"]["name"]}" is forbidden: exceeded quota: pods')

    def _check_new(self, kind: Kind, made: Manifest) -> None:
        """What must be true of every object that is ever made."""
        metadata = made["metadata"]
        self.note(f"made {kind.name} {metadata['namespace']}/{metadata['name']} {metadata['uid']}")
        self.counts[kind.name] += 1
        if kind is FLOW_RUN and SCHEDULE_LABEL in metadata.get("labels", {}):
            slot = (metadata["ownerReferences"][0]["uid"], metadata["name"])
            if slot in self.slots:
                self.violate(f"run {metadata['name']} of a schedule was made a second time")
            self.slots.add(slot)
        if kind is FLOW_VERSION:
            owner, number, digest = (
                metadata["ownerReferences"][0]["uid"],
                made["spec"]["number"],
                metadata["labels"][HASH_LABEL],
            )
            if self.numbers.setdefault((owner, number), digest) != digest:
                self.violate(f"version {metadata['name']} has a number that was used before")
            known = self.hashes.setdefault((owner, digest), number)
            if known != number and any(flow["metadata"]["uid"] == owner for flow in self.all(FLOW)):
                self.violate(f"version {metadata['name']} is the second of its hash")
        if kind is POD and metadata["labels"][ROLE_LABEL] == RUNNER:
            before = self.runners[(metadata["ownerReferences"][0]["uid"], metadata["labels"][ATTEMPT_LABEL])]
            if set(before) - self.by_hand:
                self.violate(f"a second runner {metadata['name']} was made")
            before.append(metadata["uid"])
            self._check_limits(made)
        if kind is POD and metadata["labels"][ROLE_LABEL] == WORKER:
            run, version = metadata["ownerReferences"][0]["uid"], metadata["labels"]["headwater.dev/version"]
            live = 1 + sum(
                1 for pod in self.all(POD, metadata["namespace"]) if plays(pod, WORKER, run) and is_live(pod)
            )
            found = self.objects.get((FLOW_VERSION.name, metadata["namespace"], version))
            if found is not None and live > found["spec"]["execution"].get("workers", 1):
                self.violate(f"{live} live workers with {metadata['name']}")

    def _check_limits(self, runner: Manifest) -> None:
        """No more runs are under way than a flow, or a limit that flows share, allows."""
        namespace, name = runner["metadata"]["namespace"], runner["metadata"]["labels"]["headwater.dev/flow"]
        flow = self.objects.get((FLOW.name, namespace, name))
        concurrency = flow["spec"].get("concurrency", {}) if flow is not None else {}
        finished = {run["metadata"]["uid"] for run in self.all(FLOW_RUN, namespace) if result_of(run) is not None}
        flows = [
            pod["metadata"]["labels"]["headwater.dev/flow"]
            for pod in [*self.all(POD, namespace, f"{ROLE_LABEL}={RUNNER}"), runner]
            if not has_ended(pod) and pod["metadata"]["ownerReferences"][0]["uid"] not in finished
        ]
        if flows.count(name) > concurrency.get("limit", 10**6):
            self.violate(f"{flows.count(name)} runs of {name} are under way with {runner['metadata']['name']}")
        for limit in concurrency.get("limits", []):
            slots = int(self.get(CONFIG_MAP, namespace, "limits")["data"][limit["name"]])
            taken = sum(self._slots(namespace, flow, limit["name"]) for flow in flows)
            if taken > slots:
                self.violate(f"{taken} of {slots} slots are taken with {runner['metadata']['name']}")

    def _slots(self, namespace: str, flow: str, limit: str) -> int:
        spec = self.get(FLOW, namespace, flow)["spec"]
        return sum(int(one.get("slots", 1)) for one in spec["concurrency"]["limits"] if one["name"] == limit)

    def patch_status(
        self, kind: Kind, namespace: str, name: str, status: dict[str, Any], version: str | None
    ) -> Manifest:
        made = self.get(kind, namespace, name)
        if version is not None and version != made["metadata"]["resourceVersion"]:
            raise ApiError(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        before = result_of(made)
        made["status"] = merged(made.get("status", {}), status)
        if before is not None and result_of(made) != before:
            raise ApiError(422, "Invalid", "a finished run keeps its result")
        if made == self.objects[(kind.name, namespace, name)]:
            return made  # nothing changes, nobody is told
        if before is None and result_of(made) is not None:
            self.note(f"{name} {made['metadata']['uid']} is {result_of(made)}")
        self._put(made, "MODIFIED")
        return copy.deepcopy(made)

    def patch(self, kind: Kind, namespace: str, name: str, fields: dict[str, Any]) -> Manifest:
        made = merged(self.get(kind, namespace, name), fields)
        self._put(made, "MODIFIED")
        return copy.deepcopy(made)

    def edit(self, kind: Kind, namespace: str, name: str, **spec: Any) -> None:
        made = self.get(kind, namespace, name)
        made["spec"] = {**made["spec"], **spec}
        made["metadata"]["generation"] += 1
        self.note(f"edited {kind.name} {name}")
        self._put(made, "MODIFIED")

    def delete(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> None:
        made = self.get(kind, namespace, name)
        if uid is not None and made["metadata"]["uid"] != uid:
            raise ApiError(409, "Conflict", "the UID in the precondition does not match")
        # A pod that the kubelet knows takes a while to stop, also while it is only about to start.
        if kind is POD and not has_ended(made) and "status" in made:
            if "deletionTimestamp" not in made["metadata"]:
                made["metadata"]["deletionTimestamp"] = timestamp(self.now())
                self._put(made, "MODIFIED")
                self.spawn(self._terminate(made))
            return
        self._drop(made)

    async def _terminate(self, pod: Manifest) -> None:
        """Stop a pod; where its container was about to start, it may do so first, and is killed then."""
        started_at = None
        if pod["status"]["phase"] == "Pending" and "ContainerCreating" in str(pod["status"]):
            await self.sleep(0.01, 0.3)
            started_at = timestamp(self.now())
            self._say(pod, "Running", running={"startedAt": started_at})
        await self.sleep(0.1, 10.0 if self.faulty else 0.5)
        if started_at is not None:
            self._say(pod, "Failed", terminated={"exitCode": 137, "reason": "Error", "startedAt": started_at})
            await self.sleep(0.01, 0.1)
        if self._is(pod):
            self._drop(self.objects[key_of(pod)])

    def _say(self, pod: Manifest, phase: str, **state: Any) -> None:
        """Let the kubelet tell of a pod that is being deleted, unless that is gone."""
        if self._is(pod):
            made = copy.deepcopy(self.objects[key_of(pod)])
            made["status"] = {**made["status"], "phase": phase}
            made["status"]["containerStatuses"] = [{**made["status"]["containerStatuses"][0], "state": state}]
            self._put(made, "MODIFIED")

    def _drop(self, manifest: Manifest) -> None:
        made = self.objects.pop(key_of(manifest))
        self.last += 1
        made["metadata"]["resourceVersion"] = str(self.last)
        self.note(f"gone {made['kind']} {made['metadata']['name']} {made['metadata']['uid']}")
        self._emit("DELETED", made)
        for key, other in self.objects.items():
            if any(owner["uid"] == made["metadata"]["uid"] for owner in other["metadata"].get("ownerReferences", [])):
                self.spawn(self._collect(key, other["metadata"]["uid"]))

    async def _collect(self, key: Key, uid: str) -> None:
        await self.sleep(0.01, 3.0 if self.faulty else 0.05)
        held = self.objects.get(key)
        if held is not None and held["metadata"]["uid"] == uid:
            self.delete(KINDS[key[0]], key[1], key[2])

    def _is(self, manifest: Manifest) -> bool:
        held = self.objects.get(key_of(manifest))
        return held is not None and held["metadata"]["uid"] == manifest["metadata"]["uid"]

    def _put(self, manifest: Manifest, event: str) -> None:
        self.last += 1
        manifest["metadata"]["resourceVersion"] = str(self.last)
        self.objects[key_of(manifest)] = manifest
        self._emit(event, manifest)

    def begin_pod(self, pod: Manifest) -> None:
        """Let a pod live; the world says how."""
        raise NotImplementedError

    # What the operator is told

    def _emit(self, event: str | None, manifest: Manifest) -> None:
        kind = kind_of(manifest)
        if kind not in WATCHED or self.operator is None or kind.name in self.deaf:
            return
        if not is_watched(manifest):
            return
        seen = copy.deepcopy(manifest)
        self.spawn(self._tell(self.operator, kind, event, seen, self._delay()))
        if self.faulty and self.random.random() < 0.1:
            self.spawn(self._tell(self.operator, kind, event, copy.deepcopy(seen), self.random.uniform(0, 15)))

    def _delay(self) -> float:
        if not self.faulty or (luck := self.random.random()) < 0.7:
            return self.random.uniform(0.002, 0.02)
        return self.random.uniform(0.02, 1.0 if luck < 0.95 else 5.0)

    async def _tell(self, operator: Operator, kind: Kind, event: str | None, seen: Manifest, delay: float) -> None:
        await asyncio.sleep(delay)
        if operator is self.operator:
            self.counts["events"] += 1
            await operator.observe(kind, event, seen)

    async def interrupt_watches(self) -> None:
        """As Kopf does it after an interruption that the API server does not remember: list, and tell of what is there."""
        while self.faulty:
            await self.sleep(1, 60)
            kind = self.random.choice(WATCHED)
            self.deaf.add(kind.name)
            await self.sleep(0.1, 8)
            self.deaf.discard(kind.name)
            for manifest in self.all(kind):
                self._emit(None, manifest)
