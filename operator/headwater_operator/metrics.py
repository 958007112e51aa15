"""What the operator tells Prometheus. Labels are kinds, namespaces, flows and states; never a run's name.

Numbers of what is there are taken from the cache when they are asked for. What happens is counted when this
operator has written it, so that one that takes over counts no end a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headwater_operator.census import Census, seconds_between
from headwater_operator.events import ended
from headwater_operator.kinds import FLOW_RUN, Kind, Manifest

FLOW = ("namespace", "flow")
RUN_BUCKETS = (1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)
WAIT_BUCKETS = (0.5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
LATE_BUCKETS = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 86400)
WORK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class State(Protocol):
    """What the operator knows of itself at this moment."""

    def census(self) -> Census: ...
    def ready(self) -> bool: ...
    def queue_length(self) -> int: ...
    def queue_oldest_seconds(self) -> float: ...
    def requests(self) -> dict[tuple[str, str], int]: ...
    def events(self) -> dict[str, int]: ...


class Metrics:
    """The operator's registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
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

    def watch(self, state: State) -> None:
        """Tell of this state whenever somebody asks."""
        self.registry.register(_Scraped(state))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def status_written(self, kind: Kind, before: Manifest, after: Manifest) -> None:
        """Count the end of a run, if this change is one."""
        state = ended(before, after) if kind is FLOW_RUN else None
        if state is None:
            return
        labels, status = _flow_of(after), after["status"]
        self._finished.labels(*labels, str(state)).inc()
        first_task_at = status.get("timeline", {}).get("firstTaskAt")
        _observe(self._duration, labels, seconds_between(status.get("startedAt"), status.get("finishedAt")))
        _observe(self._wait, labels, seconds_between(after["metadata"]["creationTimestamp"], first_task_at))

    def created(self, manifest: Manifest) -> None:
        """Observe how late a schedule's run was made."""
        slot = manifest["spec"].get("scheduledTime") if manifest["kind"] == FLOW_RUN.name else None
        if slot is not None:
            made = manifest["metadata"]["creationTimestamp"]
            _observe(self._late, _flow_of(manifest), seconds_between(slot, made))

    def reconciled(self, kind: str, seconds: float, failed: bool) -> None:
        self._reconcile.labels(kind).observe(seconds)
        if failed:
            self._errors.labels(kind).inc()


class _Scraped(Collector):
    def __init__(self, state: State) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        return []  # or registering would already count everything

    def collect(self) -> Iterator[Metric]:
        found = self._state.census()
        yield _gauge("headwater_runs", "Runs that are there, by state", (*FLOW, "state"), found.runs)
        yield _one("headwater_unobserved_runs", "Runs that nobody has looked at in time", found.unobserved)
        yield _one("headwater_ready", "Whether the operator has read everything", int(self._state.ready()))
        yield _one("headwater_queue_length", "Objects that are due to be looked at", self._state.queue_length())
        yield _one("headwater_queue_oldest_seconds", "How long the oldest waits", self._state.queue_oldest_seconds())
        requests = CounterMetricFamily(
            "headwater_api_requests", "Requests to the API server but for watches", labels=("verb", "code")
        )
        for labels, count in self._state.requests().items():
            requests.add_metric(labels, count)
        yield requests
        events = CounterMetricFamily("headwater_events", "Events, by what became of them", labels=("outcome",))
        for outcome, count in self._state.events().items():
            events.add_metric((outcome,), count)
        yield events


def _gauge(name: str, words: str, labels: tuple[str, ...], values: dict[Any, int]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for label, value in sorted(values.items()):
        family.add_metric(label, value)
    return family


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _flow_of(run: Manifest) -> tuple[str, str]:
    return run["metadata"]["namespace"], run["spec"]["flow"]


def _observe(histogram: Histogram, labels: tuple[str, ...], seconds: float | None) -> None:
    if seconds is not None:
        histogram.labels(*labels).observe(seconds)
