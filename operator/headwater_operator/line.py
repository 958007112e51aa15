"""Who has slots and who waits for some, gathered from the cache; and who is to be looked at when a slot is free.

What this operator has let begin counts as begun at once, though the cache does not show it yet: between two
decisions nothing is forgotten, and after a restart everything is read before the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.resources.conditions import RunState, find
from headwater.resources.names import FLOW_LABEL, LIMITS, ROLE_LABEL, RUNNER, VERSION_LABEL
from headwater_operator import pods
from headwater_operator.cache import Cache
from headwater_operator.kinds import FLOW, Manifest
from headwater_operator.queue import WorkKey
from headwater_operator.runs.admit import Admitted, Choice, choose
from headwater_operator.runs.claims import key_of, rivals
from headwater_operator.runs.concurrency import Concurrency, Policy, concurrency_of, limits_of
from headwater_operator.runs.parameters import parameter_problem
from headwater_operator.runs.queue import COUNTED, Line, Place, place_of
from headwater_operator.settings import Settings


@dataclass(frozen=True)
class Promise:
    """A run that was let begin, with the version that it takes."""

    uid: str
    flow: str
    version: str | None


class LineKeeper:
    """Reads lines from the cache. It remembers what was promised until the cache shows it."""

    def __init__(self, cache: Cache, settings: Settings) -> None:
        self._cache = cache
        self._settings = settings
        self._promises: dict[WorkKey, Promise] = {}
        # By namespace, and by the flow where it shares no limits: a long line is read once, not by each run in it.
        self._lines: dict[tuple[str, str], tuple[int, Line]] = {}
        self._rivals: dict[tuple[str, str], tuple[int, Mapping[str, str]]] = {}  # by namespace and flow

    def promise(self, key: WorkKey, promise: Promise) -> None:
        known = self._promises.get(key)
        if promise.version is None and known is not None and known.uid == promise.uid:
            return
        if known != promise:
            self._promises[key] = promise
            self._forget()

    def release(self, key: WorkKey) -> None:
        if self._promises.pop(key, None) is not None:
            self._forget()

    def _forget(self) -> None:
        self._lines.clear()
        self._rivals.clear()

    def promised_versions(self, namespace: str) -> set[str]:
        """The versions of runs whose pods are being made."""
        return {p.version for key, p in self._promises.items() if key.namespace == namespace and p.version is not None}

    def line(self, flow: Manifest) -> Line | None:
        """Return the line that the runs of a flow stand in, or None where no limit holds."""
        own = concurrency_of(flow)
        if own is None:
            return None
        namespace = flow["metadata"]["namespace"]
        key = (namespace, "" if own.slots else flow["metadata"]["name"])
        revision, known = self._lines.get(key, (-1, None))
        if known is not None and revision == self._cache.revision:
            return known
        line = self._read(namespace, sharing(self._cache, namespace, own) if own.slots else [flow])
        self._lines[key] = (self._cache.revision, line)
        return line

    def _read(self, namespace: str, flows: list[Manifest]) -> Line:
        concurrency = {flow["metadata"]["name"]: concurrency_of(flow) or Concurrency() for flow in flows}
        found = {flow["metadata"]["name"]: self._flow_line(flow, concurrency) for flow in flows}
        return Line(
            namespace=namespace,
            concurrency=concurrency,
            limits=limits_of(self._cache.config_maps(namespace, LIMITS)),
            places=tuple(place for part in found.values() for place in part.places),
            holding={name: part.holding for name, part in found.items()},
            contenders=tuple(place for part in found.values() for place in part.contenders),
        )

    def rivals(self, namespace: str, flow: str) -> Mapping[str, str]:
        """Which of a flow's runs wait for another one of their key, by uid and that one's name."""
        revision, known = self._rivals.get((namespace, flow), (-1, {}))
        if revision != self._cache.revision:
            known = rivals(self._cache.runs_of(namespace, flow), self.holding(namespace, flow))
            self._rivals[(namespace, flow)] = (self._cache.revision, known)
        return known

    def holding(self, namespace: str, flow: str) -> set[str]:
        """The uids of a flow's runs under way, also of those that were deleted and still stop."""
        runs = self._cache.runs_of(namespace, flow)
        over = {run["metadata"]["uid"] for run in runs if has_ended(run)}
        begun = {run["metadata"]["uid"] for run in runs if "attempt" in run.get("status", {})}
        promised = {
            promise.uid for key, promise in self._promises.items() if (key.namespace, promise.flow) == (namespace, flow)
        }
        living = {
            owner["uid"]
            for pod in self._cache.pods_of_flow(namespace, flow)
            if pod["metadata"]["labels"].get(ROLE_LABEL) == RUNNER and not pods.has_ended(pod)
            for owner in pod["metadata"].get("ownerReferences", [])
        }
        return (begun | promised | living) - over

    def _flow_line(self, flow: Manifest, concurrency: Mapping[str, Concurrency]) -> _FlowLine:
        namespace, name = flow["metadata"]["namespace"], flow["metadata"]["name"]
        runs = [run for run in self._cache.runs_of(namespace, name) if not has_ended(run)]
        holding = self.holding(namespace, name)
        versions = self._cache.versions_of(namespace, name)
        behind = self.rivals(namespace, name)
        policy = concurrency[name].policy
        chosen: dict[int | None, Choice] = {}

        def could_begin(run: Manifest) -> bool:
            if run["spec"].get("suspend") or flow["spec"].get("suspend") or "deletionTimestamp" in run["metadata"]:
                return False
            number = run["spec"].get("version")
            if number not in chosen:
                chosen[number] = choose(run, flow, versions, self._settings)
            choice = chosen[number]
            if not isinstance(choice, Admitted) or run["metadata"]["uid"] in behind:
                return False
            # Nobody is skipped in favour of a run that is about to be refused.
            return policy is not Policy.SKIP or parameter_problem(run, choice.version) is None

        waiting = [run for run in runs if run["metadata"]["uid"] not in holding and could_begin(run)]
        under_way = [run for run in runs if run["metadata"]["uid"] in holding]
        # Nobody is stopped for a run that is about to be refused: it is not Queued before that is known.
        asking = [run for run in waiting if is_queued(run)]
        return _FlowLine(
            places=tuple(map(place_of, waiting)),
            holding=frozenset(holding),
            contenders=tuple(map(place_of, under_way + asking)) if policy is Policy.REPLACE else (),
        )


@dataclass(frozen=True)
class _FlowLine:
    places: tuple[Place, ...]
    holding: frozenset[str]
    contenders: tuple[Place, ...]


def sharing(cache: Cache, namespace: str, own: Concurrency) -> list[Manifest]:
    """The flows of a namespace that take slots of its limits, where a flow does so itself."""
    return taking(cache, namespace) if own.slots else []


def taking(cache: Cache, namespace: str) -> list[Manifest]:
    """The flows of a namespace that take slots of its limits."""
    flows = cache.flows_in(namespace)
    return [flow for flow in flows if (concurrency := concurrency_of(flow)) is not None and concurrency.slots]


def front(cache: Cache, namespace: str, flow: str, changed: bool = False) -> list[Manifest]:
    """The runs to look at when a slot of a flow is free: those whose turn it may be, or whose words change.

    *changed* says that the flow's own part in the limits may have: what it does not take any more is free for others.
    """
    manifest = cache.get(FLOW, namespace, flow)
    own = concurrency_of(manifest) if manifest is not None else None
    others = taking(cache, namespace) if changed else sharing(cache, namespace, own) if own else []
    names = {flow} | {other["metadata"]["name"] for other in others}
    waiting: list[Manifest] = []
    for name in sorted(names):
        # Who waits for something else is looked at when that comes.
        runs = cache.runs_of(namespace, name)
        behind = rivals(runs, frozenset(run["metadata"]["uid"] for run in runs if not is_waiting(run)))
        found = [
            run
            for run in runs
            if is_queued(run) and not run["spec"].get("suspend") and run["metadata"]["uid"] not in behind
        ]
        waiting += sorted(found, key=lambda run: place_of(run).order)[: COUNTED + 2]
    return waiting


def waiting_for_limits(cache: Cache, namespace: str) -> list[Manifest]:
    """The runs that are to be looked at when the limits of a namespace have changed."""
    runs = [run for flow in taking(cache, namespace) for run in cache.runs_of(namespace, flow["metadata"]["name"])]
    return [run for run in runs if is_waiting(run)]


def to_wake(cache: Cache, run: Manifest, deleted: bool) -> list[Manifest]:
    """The runs that an event of another run may concern."""
    namespace, name = run["metadata"]["namespace"], run["spec"]["flow"]
    flow = cache.get(FLOW, namespace, name)
    ended, key = deleted or has_ended(run), key_of(run)
    found: list[Manifest] = []
    if (deleted or is_finished(run)) and key is not None:
        found += [r for r in cache.runs_of(namespace, name) if key_of(r) == key and is_waiting(r)]
    concurrency = concurrency_of(flow) if flow is not None else None
    if concurrency is None:
        return found
    # As one has begun, the next may: a run that ends can make room for several, or a limit has grown.
    beginning = not is_waiting(run) and "firstTaskAt" not in run.get("status", {}).get("timeline", {})
    if ended or beginning or run["spec"].get("suspend"):
        found += front(cache, namespace, name)
    if concurrency.policy is Policy.REPLACE:
        older = [r for r in cache.runs_of(namespace, name) if not has_ended(r) and place_of(r).age < place_of(run).age]
        return found + older
    return found


def to_wake_by_pod(cache: Cache, pod: Manifest, deleted: bool) -> list[Manifest]:
    """The runs that wait until the runner of a run that was deleted has stopped."""
    labels = pod["metadata"].get("labels", {})
    if labels.get(ROLE_LABEL) != RUNNER or FLOW_LABEL not in labels or not (deleted or pods.has_ended(pod)):
        return []
    return front(cache, pod["metadata"]["namespace"], labels[FLOW_LABEL])


def version_label(manifests: tuple[Manifest, ...]) -> str | None:
    """The version that the objects of an attempt are made for."""
    labels = (manifest["metadata"].get("labels", {}).get(VERSION_LABEL) for manifest in manifests)
    return next((label for label in labels if label is not None), None)


def is_waiting(run: Manifest) -> bool:
    """Whether a run has not begun and is not over."""
    return "attempt" not in run.get("status", {}) and not is_finished(run)


def is_queued(run: Manifest) -> bool:
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    return condition is not None and condition["reason"] == RunState.QUEUED


def is_finished(run: Manifest) -> bool:
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    return condition is not None and condition["status"] != "Unknown"


def has_ended(run: Manifest) -> bool:
    """Whether nothing of a run goes on: it is finished, or will be once its claim can be made."""
    return is_finished(run) or "finishedAt" in run.get("status", {})
