"""Ledgers of FlowRuns: kept in the flow's result store, where a later run finds them.

A file says of which run it is, as another may have had its name: {"format": 2, "flow", "version", "uid", "tasks"}, with
the entries by slug in tasks. Those of format 1 are the entries only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from headwater.core.errors import ResumeError
from headwater.core.flow import Flow
from headwater.engine.events import Event, Given, RunBegan, TaskEnded, TaskMarked
from headwater.engine.ledger import Entry, Ledger, ledger_of
from headwater.engine.plan import Plan
from headwater.engine.resume import resume
from headwater.engine.run import Run
from headwater.executors.failures import summary_of
from headwater.executors.inline import Stored
from headwater.pod.handover import Handover
from headwater.results import Result
from headwater.results.result import MissingError
from headwater.results.serializers import JSONSerializer

logger = logging.getLogger("headwater.runner")

FORMAT = 2

# Before a pause that may last, and to gather what comes together.
SOON_SECONDS = 0.2
SECONDS_BETWEEN_WRITES = 5.0
# Between writes lies so many times as long as one took.
REST = 20


def _place(flow: Flow, namespace: str, run: str) -> Result | None:
    if flow.result is None:
        return None
    place: Result = flow.result.copy()
    place.serializer = JSONSerializer()
    # No braces: it is no template.
    place.location = f"headwater/ledgers/{namespace}/{run}.json"
    return place


class Keeper:
    """Keeps the ledger of a run in its flow's result store, if it has one: soon after each pause, some seconds after
    other results were stored, and at the end. So a run whose runner is lost or stopped can be gone on from.

    It writes in a thread of its own, and takes a small part of the time for it however large the ledger is.
    """

    def __init__(self, flow: Flow, handover: Handover, run: Run) -> None:
        self._place = _place(flow, handover.namespace, handover.run)
        self._handover = handover
        self._run = run
        self._due: float | None = None
        self._over = False
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def saw(self, event: Event) -> None:
        """Take notice of an event that the run has taken in."""
        delay = _keep_within(event) if self._place is not None else None
        if delay is None:
            return
        due = time.monotonic() + delay
        if self._due is not None and self._due <= due:
            return
        with self._changed:
            self._due = due
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Keep the ledger as it is in the end."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._place is not None:
            self._write(self._place)

    def _work(self) -> None:
        assert self._place is not None, "without a place nothing is ever due"
        free_at = 0.0
        while self._wait(free_at):
            began = time.monotonic()
            self._write(self._place, last=False)
            ended = time.monotonic()
            free_at = ended + (ended - began) * REST

    def _wait(self, free_at: float) -> bool:
        """Wait until the ledger is to be written; False when the run is over."""
        with self._changed:
            while not self._over:
                pause = None if self._due is None else max(self._due, free_at) - time.monotonic()
                if pause is not None and pause <= 0:
                    self._due = None
                    return True
                self._changed.wait(pause)
        return False

    def _write(self, place: Result, last: bool = True) -> None:
        """That it does not work is told in the log only."""
        with self._writing:
            if self._over and not last:
                return
            try:
                place.write(to_file(self._handover, ledger_of(self._run)))
            except Exception as error:
                words = summary_of(error)
                logger.warning("The ledger of this run cannot be stored; no other can resume from it: %s", words)


def _keep_within(event: Event) -> float | None:
    """Return how soon an event is to be in the ledger; None for one that changes nothing there."""
    match event:
        case RunBegan(given=given) if given:
            return SOON_SECONDS
        case TaskEnded(state=state) if state.is_paused():
            return SOON_SECONDS
        case TaskEnded(stored=stored) if stored is not None:
            return SECONDS_BETWEEN_WRITES
        case TaskMarked():
            return SECONDS_BETWEEN_WRITES
    return None


def to_file(handover: Handover, ledger: Ledger) -> dict[str, Any]:
    tasks = {slug: entry.as_dict() for slug, entry in ledger.items()}
    origin = {"flow": handover.flow, "version": handover.version, "uid": handover.uid}
    return {"format": FORMAT, **origin, "tasks": tasks}


def from_file(found: Mapping[str, Any], handover: Handover) -> Ledger:
    """Return the ledger of the run that *handover* resumes from.

    Raises ResumeError when the file is of another run, and anything for what `to_file` did not make.
    """
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


def given_to(flow: Flow, plan: Plan, handover: Handover, marked: Mapping[int, Given]) -> dict[int, Given]:
    """Return what is *marked* and what the run that is resumed from has finished.

    Raises ResumeError that says why it cannot be.
    """
    run = handover.resume_run
    if not run:
        return dict(marked)
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
    return resume(ledger, plan, lambda stored: Stored(*stored), handover.resume_tasks, marked)
