"""Ledgers of FlowRuns: kept in the flow's result store, where a later run finds them."""

from __future__ import annotations

import logging

from headwater.core.errors import ResumeError
from headwater.core.flow import Flow
from headwater.engine.events import Given
from headwater.engine.ledger import Entry, Ledger, resume
from headwater.engine.plan import Plan
from headwater.executors.failures import summary_of
from headwater.executors.inline import Stored
from headwater.pod.handover import Handover
from headwater.results import Result
from headwater.results.result import MissingError
from headwater.results.serializers import JSONSerializer

logger = logging.getLogger("headwater.runner")


def _place(flow: Flow, namespace: str, run: str) -> Result | None:
    if flow.result is None:
        return None
    place: Result = flow.result.copy()
    place.serializer = JSONSerializer()
    # No braces: it is no template.
    place.location = f"headwater/ledgers/{namespace}/{run}.json"
    return place


def keep(flow: Flow, handover: Handover, ledger: Ledger) -> None:
    """Keep a run's ledger if its flow has a result store; that it does not work is told in the log only."""
    place = _place(flow, handover.namespace, handover.run)
    if place is None:
        return
    try:
        place.write({slug: entry.as_dict() for slug, entry in ledger.items()})
    except Exception as error:
        logger.warning("The ledger of this run cannot be stored; no other can resume from it: %s", summary_of(error))


def given_to(flow: Flow, plan: Plan, handover: Handover) -> dict[int, Given]:
    """Return what the run that is resumed from has finished. Raises ResumeError that says why it cannot be."""
    run = handover.resume_run
    if not run:
        return {}
    place = _place(flow, handover.namespace, run)
    if place is None:
        raise ResumeError(
            f'resumeFrom: the flow "{flow.name}" has no result store, so that nothing of FlowRun "{run}" was kept; '
            'give it one that lasts, such as Flow(..., result=S3Result("bucket")), and run it anew this time.'
        )
    try:
        found = place.read(str(place.location)).value
        ledger = {slug: Entry.from_dict(entry) for slug, entry in found.items()}
    except MissingError as error:
        raise ResumeError(
            f'resumeFrom: FlowRun "{run}" left no ledger ({error}). It has one when its flow has a result store that '
            "lasts and it came to its end."
        ) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ResumeError(f'resumeFrom: the ledger of FlowRun "{run}" cannot be read: {summary_of(error)}') from None
    return resume(ledger, plan, lambda stored: Stored(*stored), handover.resume_tasks)
