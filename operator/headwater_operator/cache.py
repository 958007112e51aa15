"""Our objects and their pods, as last seen: fed by watch events and by the answers to our own writes.

An object older than the one held is ignored: an event may arrive after the answer to a later write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from headwater.resources.names import CLAIM, FLOW_LABEL, ROLE_LABEL, RUN_LABEL, VERSION_LABEL
from headwater_operator.census import Tally
from headwater_operator.kinds import CONFIG_MAP, FLOW, FLOW_RUN, FLOW_VERSION, POD, SECRET, SERVICE, Kind, Manifest
from headwater_operator.runs.children import started_by

Key = tuple[str, str]  # namespace, name

# How many deleted objects are remembered, so that late events and late answers do not bring them back.
REMEMBERED_DELETIONS = 10_000


class Cache:
    """Objects by kind and key, with the indexes that plans ask for."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[Key, Manifest]] = defaultdict(dict)
        self._by_owner: dict[tuple[str, str, str, str], set[Key]] = defaultdict(set)
        self._deleted: dict[str, None] = {}  # uids, the oldest first
        self._addresses: dict[Key, str] = {}  # of Services, which are not watched
        self._secrets: set[Key] = set()  # that are known to exist; nobody may read them
        self.revision = 0  # grows with every change
        self.tally = Tally()
        self.accounts: set[str] = set()  # the namespaces that are known to have the flow pods' account

    def upsert(self, kind: Kind, manifest: Manifest) -> bool:
        """Keep an object unless it is known to be deleted or a newer one is held; return whether it was kept."""
        metadata = manifest["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if metadata["uid"] in self._deleted:
            return False
        held = self._objects[kind.name].get(key)
        if held is not None:
            if not _newer(metadata, held["metadata"]):
                return False
            self._forget(kind, key, held)
            if held["metadata"]["uid"] != metadata["uid"] and kind is FLOW_RUN:
                self.forget_attempts(*key)
        metadata.pop("managedFields", None)  # large, and of no use here
        self._objects[kind.name][key] = manifest
        self.revision += 1
        for owner in _owners(kind, manifest):
            self._by_owner[owner].add(key)
        if kind is FLOW_RUN:
            self.tally.add(manifest)
        return True

    def remove(self, kind: Kind, manifest: Manifest) -> None:
        """Forget a deleted object, unless one of the same name has taken its place."""
        metadata = manifest["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if kind is not CONFIG_MAP:  # which is also told as deleted when somebody takes its label off
            self._deleted[metadata["uid"]] = None
        if len(self._deleted) > REMEMBERED_DELETIONS:
            del self._deleted[next(iter(self._deleted))]
        held = self._objects[kind.name].get(key)
        if held is None or held["metadata"]["uid"] != metadata["uid"]:
            return
        self._forget(kind, key, held)
        if kind is FLOW_RUN:
            self.forget_attempts(*key)

    def _forget(self, kind: Kind, key: Key, held: Manifest) -> None:
        del self._objects[kind.name][key]
        self.revision += 1
        if kind is FLOW_RUN:
            self.tally.take(held)
        for owner in _owners(kind, held):
            self._by_owner[owner].discard(key)
            if not self._by_owner[owner]:
                del self._by_owner[owner]

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        return self._objects[kind.name].get((namespace, name))

    def all(self, kind: Kind) -> Iterable[Manifest]:
        return list(self._objects[kind.name].values())

    def has_flow(self, namespace: str, name: str) -> bool:
        return (namespace, name) in self._objects[FLOW.name]

    def versions_of(self, namespace: str, flow: str) -> list[Manifest]:
        return self._owned(FLOW_VERSION, "flow", namespace, flow)

    def runs_of(self, namespace: str, flow: str) -> list[Manifest]:
        return self._owned(FLOW_RUN, "flow", namespace, flow)

    def runs_with_demand(self, namespace: str) -> list[Manifest]:
        """The runs that are not over and have tasks with a limited tag."""
        return self._owned(FLOW_RUN, "slots", namespace, "")

    def children_of(self, namespace: str, run: str) -> list[Manifest]:
        """The runs that a run has started."""
        return self._owned(FLOW_RUN, "parent", namespace, run)

    def pods_of_run(self, namespace: str, run: str) -> list[Manifest]:
        return self._owned(POD, "run", namespace, run)

    def pods_of_flow(self, namespace: str, flow: str) -> list[Manifest]:
        """The pods of a flow's runs."""
        return self._owned(POD, "flow", namespace, flow)

    def flows_in(self, namespace: str) -> list[Manifest]:
        return self._owned(FLOW, "namespace", namespace, "")

    def config_maps(self, namespace: str, role: str) -> list[Manifest]:
        return self._owned(CONFIG_MAP, "role", namespace, role)

    def claims_of(self, namespace: str, flow: str) -> list[Manifest]:
        return self._owned(CONFIG_MAP, "flow", namespace, flow)

    def pods_of_version(self, namespace: str, version: str) -> list[Manifest]:
        return self._owned(POD, "version", namespace, version)

    def set_address(self, namespace: str, service: str, cluster_ip: str) -> None:
        self._addresses[(namespace, service)] = cluster_ip

    def address(self, namespace: str, service: str) -> str | None:
        return self._addresses.get((namespace, service))

    def add_secret(self, namespace: str, name: str) -> None:
        self._secrets.add((namespace, name))

    def has_secret(self, namespace: str, name: str) -> bool:
        return (namespace, name) in self._secrets

    def forget(self, kind: Kind, namespace: str, name: str) -> None:
        """Forget a Service or Secret that was deleted."""
        if kind is SERVICE:
            self._addresses.pop((namespace, name), None)
        elif kind is SECRET:
            self._secrets.discard((namespace, name))

    def forget_attempts(self, namespace: str, run: str) -> None:
        """Forget the Services and Secrets of a run that is over."""
        for known in [k for k in {*self._addresses, *self._secrets} if k[0] == namespace and _is_attempt(k[1], run)]:
            self._addresses.pop(known, None)
            self._secrets.discard(known)

    def _owned(self, kind: Kind, relation: str, namespace: str, owner: str) -> list[Manifest]:
        keys = self._by_owner.get((kind.name, relation, namespace, owner), ())
        return [self._objects[kind.name][key] for key in sorted(keys)]


def _is_attempt(name: str, run: str) -> bool:
    stem, _, number = name.rpartition("-a")
    return stem == run and number.isdecimal()


def _newer(metadata: Manifest, held: Manifest) -> bool:
    """Whether an object is newer than the held one of its name. Versions of one object grow as numbers."""
    made, held_made = str(metadata["creationTimestamp"]), str(held["creationTimestamp"])  # in whole seconds
    if metadata["uid"] != held["uid"] and made != held_made:
        return made > held_made
    return int(metadata["resourceVersion"]) >= int(held["resourceVersion"])


def _owners(kind: Kind, manifest: Manifest) -> list[tuple[str, str, str, str]]:
    """Return what an object belongs to, by the names that plans look for."""
    namespace = manifest["metadata"]["namespace"]
    if kind is FLOW_RUN:
        parent = started_by(manifest)
        parents = [(kind.name, "parent", namespace, parent.name)] if parent is not None else []
        status = manifest.get("status", {})
        demands = (
            [(kind.name, "slots", namespace, "")] if status.get("taskDemand") and "finishedAt" not in status else []
        )
        return [(kind.name, "flow", namespace, manifest["spec"]["flow"]), *parents, *demands]
    if kind is FLOW_VERSION:
        return [(kind.name, "flow", namespace, manifest["spec"]["flow"])]
    if kind is POD:
        labels = manifest["metadata"].get("labels", {})
        if RUN_LABEL in labels:
            run = (kind.name, "run", namespace, labels[RUN_LABEL])
            return [run, (kind.name, "flow", namespace, labels[FLOW_LABEL])] if FLOW_LABEL in labels else [run]
        if VERSION_LABEL in labels and FLOW_LABEL in labels:
            return [(kind.name, "version", namespace, labels[VERSION_LABEL])]
    if kind is FLOW:
        return [(kind.name, "namespace", namespace, "")]
    if kind is CONFIG_MAP:
        labels = manifest["metadata"].get("labels", {})
        role = labels.get(ROLE_LABEL, "")
        claim = role == CLAIM and FLOW_LABEL in labels
        return [(kind.name, "flow", namespace, labels[FLOW_LABEL])] if claim else [(kind.name, "role", namespace, role)]
    assert kind is POD, f"no index for {kind.name}"
    return []
