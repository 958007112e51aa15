"""Ledgers of FlowRuns: kept in the flow's result store, where a later run finds them.

A file says of which run it is, as another may have had its name: {"format": 2, "flow", "version", "uid", "tasks": {slug:
entry}}. Those of format 1 are the entries only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

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

FORMAT = 2


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
        place.write(to_file(handover, ledger))
    except Exception as error:
        logger.warning("The ledger of this run cannot be stored; no other can resume from it: %s", summary_of(error))


def to_file(handover: Handover, ledger: Ledger) -> dict[str, Any]:
    tasks = {slug: entry.as_dict() for slug, entry in ledger.items()}
    origin = {"flow": handover.flow, "version": handover.version, "uid": handover.uid}
    return {"format": FORMAT, **origin, "tasks": tasks}


def from_file(found: Mapping[str, Any], handover: Handover) -> Ledger:
    """Return the ledger of the run that *handover* resumes from. Raises ResumeError when the file is of another run, and
    anything for what `to_file` did not make."""
    run, entries = handover.resume_run, found
    if isinstance(found.get("format"), int):
        if found["format"] != FORMAT:
            raise ResumeError(
                f'resumeFrom: the ledger of FlowRun "{run}" has format {found["format"]}, and this flow image reads up '
                f"to {FORMAT}: upgrade the flow image."
            )
        if found["flow"] != handover.flow:
            raise ResumeError(
                f'resumeFrom: FlowRun "{run}" is of Flow "{found["flow"]}" ({found["version"]}), and this run of Flow '
                f'"{handover.flow}"; a run goes on from one of its own Flow.'
            )
        if handover.resume_uid and found["uid"] and found["uid"] != handover.resume_uid:
            raise ResumeError(
                f'resumeFrom: FlowRun "{run}" left no ledger; there is one of an earlier run of that name, which was '
                "deleted. Run the flow anew."
            )
        entries = found["tasks"]
    return {slug: Entry.from_dict(entry) for slug, entry in entries.items()}


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
        ledger = from_file(place.read(str(place.location)).value, handover)
    except MissingError as error:
        raise ResumeError(
            f'resumeFrom: FlowRun "{run}" left no ledger ({error}). It has one when its flow has a result store that '
            "lasts and some of its tasks came to an end."
        ) from None
    except ResumeError:
        raise
    except Exception as error:
        # Whatever somebody may have made of the file.
        raise ResumeError(
            f'resumeFrom: the ledger of FlowRun "{run}" cannot be read, which is {place.location} in the result store '
            f"of the flow ({summary_of(error)}). Mend the store, or run the flow anew."
        ) from None
    return resume(ledger, plan, lambda stored: Stored(*stored), handover.resume_tasks)
