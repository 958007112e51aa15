"""Write a pod's own object's status: coalesced, at most once a second, from a thread of its own.

The newest status replaces one that still waits. A write that fails is repeated with growing pauses;
the last one, `close`, is given time to arrive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from headwater.core.errors import ClusterError
from headwater.pod.api import MERGE_PATCH, AnswerError, PodApi

logger = logging.getLogger("headwater.reporter")

SECONDS_BETWEEN_WRITES = 1.0
# The operator notes the pod's UID a moment after it made the pod, unless it was just stopped; until then the API
# server refuses.
REFUSED_PATIENCE_SECONDS = 20.0
LONGEST_PAUSE_SECONDS = 15.0


class StatusApi:
    """Merge patches on one object's status subresource."""

    def __init__(self, api: PodApi, plural: str, namespace: str, name: str) -> None:
        self._api = api
        self._path = f"{namespace}/{plural}/{name}/status"

    def patch(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return the whole object as it is then. Raises AnswerError."""
        return self._api.request("PATCH", self._path, {"status": status}, MERGE_PATCH)


def hopeless(error: AnswerError, waited_seconds: float, last: bool) -> bool:
    """Whether to repeat the write is useless; the *last* one must not keep the pod for long."""
    if error.status == 403:
        return last and waited_seconds > REFUSED_PATIENCE_SECONDS
    return not error.passing


class Reporter:
    """Keeps one object's status up to date. `put` never blocks; only the newest status is written.

    *see* is told, in the reporter's thread, what the object is after each write.
    """

    def __init__(self, api: StatusApi, see: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        self._api = api
        self._see = see
        self._waiting: dict[str, Any] | None = None
        self._closing = False
        self._written = False
        self._deadline = float("inf")
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)
        self._thread.start()

    def put(self, status: dict[str, Any]) -> None:
        with self._changed:
            self._waiting = status
            self._changed.notify()

    def close(self, status: dict[str, Any], patience_seconds: float = 120.0) -> bool:
        """Write a last status, whatever the pace; return whether it arrived."""
        with self._changed:
            self._waiting = status
            self._closing = True
            self._deadline = time.monotonic() + patience_seconds
            self._changed.notify()
        self._thread.join(patience_seconds + 15.0)
        return self._written

    def _take(self, not_before: float) -> tuple[dict[str, Any], bool]:
        """Wait for a status to write; the last one does not wait for its turn."""
        with self._changed:
            while True:
                pause = not_before - time.monotonic()
                if self._waiting is not None and (self._closing or pause <= 0):
                    status, self._waiting = self._waiting, None
                    return status, self._closing
                self._changed.wait(pause if self._waiting is not None else None)

    def _work(self) -> None:
        not_before = 0.0
        pause, began = 0.1, None
        while True:
            status, last = self._take(not_before)
            try:
                self._see(self._api.patch(status))
            except ClusterError as error:
                began = began or time.monotonic()
                waited = time.monotonic() - began
                useless = isinstance(error, AnswerError) and hopeless(error, waited, last)
                if useless or time.monotonic() > self._deadline:
                    logger.error("The status was not written: %s", error)
                    if last:
                        return
                    pause, began = 0.1, None
                    continue
                logger.debug("The status was not written, it will be again: %s", error)
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                with self._changed:
                    self._waiting = self._waiting or status  # a newer one may have come meanwhile
                continue
            pause, began = 0.1, None
            not_before = time.monotonic() + SECONDS_BETWEEN_WRITES
            if last:
                self._written = True
                return
