"""The workers of an attempt: which to make, and what to tell when one takes a lost one's place. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from headwater.resources import names
from headwater_operator import pods
from headwater_operator.events import WARNING, Event
from headwater_operator.kinds import Manifest
from headwater_operator.objects.pods import worker_pod
from headwater_operator.runs.facts import Observed
from headwater_operator.settings import Settings

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def missing_workers(seen: Observed, version: Manifest, settings: Settings) -> tuple[Manifest, ...]:
    """Workers to make: as many as lack, under numbers that no worker of the attempt has had."""
    execution = version["spec"].get("execution", {})
    if execution.get("provisioner", "Pods") != "Pods" or seen.address is None:
        return ()
    wanted = int(execution.get("workers", 1))
    lacking = wanted - sum(1 for pod in seen.workers if pods.is_live(pod))
    taken = {pod["metadata"]["name"] for pod in seen.workers}
    fresh = (
        index for index in range(wanted + len(taken)) if names.worker_name(seen.name, seen.attempt, index) not in taken
    )
    return tuple(
        worker_pod(
            run=seen.run, version=version, attempt=seen.attempt, index=index, address=seen.address, settings=settings
        )
        for index, _ in zip(fresh, range(lacking), strict=False)
    )


def replaced(seen: Observed, made: tuple[Manifest, ...]) -> tuple[Event, ...]:
    """Tell of the workers that are made in place of lost ones; not of those that could not be made before."""
    lost = [pod for pod in seen.workers if not pods.is_live(pod)]
    if not made or seen.refusal is not None or (not lost and seen.first_task_at is None):
        return ()
    last = max(lost, key=lambda pod: pods.ended_at(pod) or LONG_AGO, default=None)
    fresh = ", ".join(pod["metadata"]["name"] for pod in made)
    return (Event("WorkerReplaced", f"{_how_lost(last)}; made anew: {fresh}", WARNING),)


def _how_lost(pod: Manifest | None) -> str:
    if pod is None:
        return "a worker pod is gone: it was deleted, or its node was"
    name = pod["metadata"]["name"]
    if pods.has_ended(pod):
        return f"worker pod {name}: {pods.how_ended(pod).message}"
    return f"worker pod {name} is being deleted"
