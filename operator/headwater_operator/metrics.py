"""What the operator tells Prometheus. Labels are kinds, namespaces, flows and states; never a run's name.

Numbers of what is there are taken from the cache when they are asked for. What happens is counted when this
operator has written it, so that one that takes over counts no end a second time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headwater.resources.conditions import RunState
from headwater_operator.census import NO_FLOW, Census, seconds_between
from headwater_operator.events import STATES, ended
from headwater_operator.kinds import FLOW_RUN, Kind, Manifest

FLOW = ("namespace", "flow")
# Few, as each is a series of every flow: what people ask is whether it takes seconds, minutes or hours.
RUN_BUCKETS = (5, 30, 120, 600, 3600, 14400)
WAIT_BUCKETS = (1, 2, 5, 15, 60, 600)
LATE_BUCKETS = (1, 5, 30, 300, 3600)
WORK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# Prometheus sees no increase in a series that begins at one: those that alerts are about begin at zero.
FROM_ZERO = (RunState.SUCCESS, RunState.FAILED, RunState.TIMED_OUT, RunState.CRASHED)

FlowKey = tuple[str, str]  # namespace, name

# When a series began: that doubles the counters, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations


@dataclass(frozen=True)
class Snapshot:
    """What the operator knows of itself at one moment: values only, to be told by another thread."""

    census: Census = field(default_factory=lambda: Census({}, 0))
    ready: bool = False
    queue_length: int = 0
    queue_oldest_seconds: float = 0.0
    requests: dict[tuple[str, str], int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)


class Metrics:
    """The operator's registry. A flow has series as long as it is there: `follow` and `flow_seen` tell which are."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._flows: set[FlowKey] = set()
        self._finished = Counter(
            "headwater_runs_finished", "Runs that have ended, by state", (*FLOW, "state"), registry=self.registry
        )
        self._duration = self._histogram("run_duration_seconds", "From a run's start to its end", FLOW, RUN_BUCKETS)
        self._wait = self._histogram(
            "run_wait_seconds", "From a run's creation to its first task; told at its end", FLOW, WAIT_BUCKETS
        )
        self._late = self._histogram(
            "scheduled_run_late_seconds", "From a schedule's time to the creation of its run", FLOW, LATE_BUCKETS
        )
        self._reconcile = self._histogram("reconcile_seconds", "Duration of a reconciliation", ("kind",), WORK_BUCKETS)
        self._errors = Counter(
            "headwater_reconcile_errors", "Reconciliations that failed", ("kind",), registry=self.registry
        )
        for kind in ("Flow", "FlowVersion", "FlowRun"):
            self._errors.labels(kind)  # an alert needs the zero before the first error

    def _histogram(self, name: str, words: str, labels: Iterable[str], buckets: Iterable[float]) -> Histogram:
        return Histogram(f"headwater_{name}", words, tuple(labels), registry=self.registry, buckets=tuple(buckets))

    def text(self, snapshot: Snapshot) -> bytes:
        """Everything, in Prometheus' text format. For thousands of series that takes a while: any thread may do it."""
        return generate_latest(Page(self.registry, snapshot))

    def follow(self, flows: AbstractSet[FlowKey]) -> None:
        """Take these for all the flows that there are."""
        for flow in flows - self._flows:
            self.flow_seen(flow)
        for flow in self._flows - flows:
            self.flow_gone(flow)

    def flow_seen(self, flow: FlowKey) -> None:
        if flow not in self._flows:
            self._flows.add(flow)
            for state in FROM_ZERO:
                self._finished.labels(*flow, str(state))

    def flow_gone(self, flow: FlowKey) -> None:
        """Forget all series of a flow."""
        self._flows.discard(flow)
        for state in STATES:
            _remove(self._finished, *flow, state)
        for histogram in (self._duration, self._wait, self._late):
            _remove(histogram, *flow)

    def status_written(self, kind: Kind, before: Manifest, after: Manifest) -> None:
        """Count the end of a run, if this change is one; the ends of what is of no flow that is there together."""
        state = ended(before, after) if kind is FLOW_RUN else None
        if state is None:
            return
        flow, status = _flow_of(after), after["status"]
        if flow not in self._flows:
            self._finished.labels(NO_FLOW, NO_FLOW, str(state)).inc()
            return
        self._finished.labels(*flow, str(state)).inc()
        first_task_at = status.get("timeline", {}).get("firstTaskAt")
        _observe(self._duration, flow, seconds_between(status.get("startedAt"), status.get("finishedAt")))
        _observe(self._wait, flow, seconds_between(after["metadata"]["creationTimestamp"], first_task_at))

    def created(self, manifest: Manifest) -> None:
        """Observe how late a schedule's run was made."""
        slot = manifest["spec"].get("scheduledTime") if manifest["kind"] == FLOW_RUN.name else None
        if slot is not None and _flow_of(manifest) in self._flows:
            made = manifest["metadata"]["creationTimestamp"]
            _observe(self._late, _flow_of(manifest), seconds_between(slot, made))

    def reconciled(self, kind: str, seconds: float, failed: bool) -> None:
        self._reconcile.labels(kind).observe(seconds)
        if failed:
            self._errors.labels(kind).inc()


class Page(Collector):
    """What is told at once: what has been counted, and what is there at this moment."""

    def __init__(self, registry: CollectorRegistry, snapshot: Snapshot) -> None:
        self._registry = registry
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()
        found = self._snapshot
        yield _gauge("headwater_runs", "Runs that are there, by state", (*FLOW, "state"), found.census.runs)
        yield _one("headwater_unobserved_runs", "Runs that nobody has looked at in time", found.census.unobserved)
        yield _one("headwater_ready", "Whether the operator has read everything", int(found.ready))
        yield _one("headwater_queue_length", "Objects that are due to be looked at", found.queue_length)
        yield _one("headwater_queue_oldest_seconds", "How long the oldest waits", found.queue_oldest_seconds)
        requests = CounterMetricFamily(
            "headwater_api_requests", "Requests to the API server but for watches", labels=("verb", "code")
        )
        for labels, count in found.requests.items():
            requests.add_metric(labels, count)
        yield requests
        events = CounterMetricFamily("headwater_events", "Events, by what became of them", labels=("outcome",))
        for outcome, count in found.events.items():
            events.add_metric((outcome,), count)
        yield events


def _gauge(name: str, words: str, labels: tuple[str, ...], values: dict[Any, int]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for label, value in sorted(values.items()):
        family.add_metric(label, value)
    return family


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _flow_of(run: Manifest) -> FlowKey:
    return run["metadata"]["namespace"], run["spec"]["flow"]


def _remove(metric: Counter | Histogram, *labels: str) -> None:
    with contextlib.suppress(KeyError):  # older libraries say so when there is none
        metric.remove(*labels)


def _observe(histogram: Histogram, labels: tuple[str, ...], seconds: float | None) -> None:
    if seconds is not None:
        histogram.labels(*labels).observe(seconds)
