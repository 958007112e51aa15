"""How what people want reaches a run that is under way: the runner looks at its own resource.

It watches it; where its account may not, the answers to its own status patches have to do, which it then sends every
few seconds. Nothing of this happens before the first task has begun, or a second has passed: a start is not delayed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from headwater.engine.drive import AsyncSession, Drive
from headwater.engine.events import Event
from headwater.pod.api import MERGE_PATCH, WATCH_SECONDS, AnswerError, PodApi
from headwater.pod.desk import Desk
from headwater.pod.wishes import Wishes, decisions_of, wishes_of

logger = logging.getLogger("headwater.runner")

FIRST_LOOK_SECONDS = 1.0
# Where a watch is refused.
LOOK_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 15.0

# So many decisions are carried out before the loop may do something else: one can be about thousands of children.
AT_A_TIME = 100


class Control:
    """Watches one FlowRun and hands what is wanted to its drive. *given* are decisions that were carried out before."""

    def __init__(self, api: PodApi, namespace: str, run: str, given: list[dict[str, Any]]) -> None:
        self._api = api
        self._namespace = namespace
        self._run = run
        self._given = decisions_of(given)
        self._seen = Wishes()
        self._generation = 0
        self._deciding = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def attach(self, drive: Drive, session: AsyncSession, tell: Callable[[], None]) -> None:
        """Begin; called in the run's event loop, just before its first event. *tell* writes the status again soon."""
        self._drive, self._session, self._tell = drive, session, tell
        self._desk = Desk(drive.run, self._given)
        self._loop = asyncio.get_running_loop()
        self._loop.call_later(FIRST_LOOK_SECONDS, self._begin)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and self._loop is not None:
                self._thread = threading.Thread(target=self._watch, name="control", daemon=True)
                self._thread.start()

    # In any thread

    def see(self, run: dict[str, Any]) -> None:
        """Take in the resource as it was somewhen: a wish to cancel is never taken back, and decisions and grants of
        slots say which are the newer, so that order is no matter."""
        self._begin()
        wishes = wishes_of(run)
        with self._lock:
            if wishes == self._seen or self._loop is None:
                return
            self._seen = wishes
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._carry_out, wishes)

    # In the loop

    def _carry_out(self, wishes: Wishes) -> None:
        run = self._drive.run
        if run.finished_at is not None:
            return
        if wishes.cancel and not run.cancelled:
            logger.info("The run is being cancelled, as %s: what runs is let finish", wishes.cancel)
            self._drive.cancel(self._session, wishes.cancel)
        gate, grant = self._drive.gate, wishes.grant
        if gate is not None and gate.grant(grant.serial, dict(grant.slots), dict(grant.words)):
            self._drive.admit()
            self._tell()
        if wishes.generation >= self._generation:
            self._generation = wishes.generation
            self._desk.put(wishes.decisions)
            self._decide_soon()

    def after(self, event: Event) -> None:
        """A task may have come to where a decision waits for it."""
        self._desk.saw(event)
        self._decide_soon()

    def _decide_soon(self) -> None:
        if self._desk.is_due and not self._deciding:
            assert self._loop is not None, "events come after the run has begun"
            self._deciding = True
            self._loop.call_soon(self._decide)

    def _decide(self) -> None:
        for _ in range(AT_A_TIME):
            if self._drive.run.finished_at is not None:
                return
            event, refusal = self._desk.next(time.time())
            if refusal:
                logger.error("A decision cannot be carried out: %s", refusal)
            elif event is not None:
                self._drive.post(event)
            else:
                break
        self._deciding = False
        self._decide_soon()

    # In its own thread

    def _watch(self) -> None:
        version, pause = "0", 0.2
        while True:
            try:
                for change in self._api.watch(self._namespace, "flowruns", self._run, version, WATCH_SECONDS):
                    if change["deleted"]:
                        return  # this pod goes with it
                    version, pause = change["metadata"]["resourceVersion"], 0.2
                    self.see(change)
            except AnswerError as error:
                if error.status == 403:
                    self._look_now_and_then()
                    return
                version = "0" if error.status == 410 else version
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except Exception:
                logger.exception("The run cannot be watched: spec.cancel and spec.decisions may not be heard")
                return

    def _look_now_and_then(self) -> None:
        """A patch that changes nothing is answered with the whole object, and a flow's pod may always send it."""
        path = f"{self._namespace}/flowruns/{self._run}/status"
        while True:
            try:
                self.see(self._api.request("PATCH", path, {"status": {}}, MERGE_PATCH))
            except AnswerError as error:
                logger.debug("The run cannot be looked at now: %s", error)
            time.sleep(LOOK_SECONDS)
