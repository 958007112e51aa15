"""Write a pod's own object's status: coalesced, at most once a second, from a thread of its own.

The newest status replaces one that still waits. A write that fails is repeated with growing pauses;
the last one, `close`, is given time to arrive.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.errors import ClusterError
from headwater.resources.names import API_VERSION, TOKEN_FOLDER

if TYPE_CHECKING:
    import urllib3

logger = logging.getLogger("headwater.reporter")

SECONDS_BETWEEN_WRITES = 1.0
# The operator notes the pod's UID a moment after it made the pod, unless it was just stopped; until then the API
# server refuses.
REFUSED_PATIENCE_SECONDS = 20.0
LONGEST_PAUSE_SECONDS = 15.0


class StatusApi:
    """Merge patches on one object's status subresource, with the pod's token."""

    def __init__(self, plural: str, namespace: str, name: str) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        self.url = f"https://{host}:{port}/apis/{API_VERSION}/namespaces/{namespace}/{plural}/{name}/status"
        self._pool: urllib3.PoolManager | None = None

    def patch(self, status: dict[str, Any]) -> None:
        """Raises ClusterError; its `permanent` says that to repeat it is useless."""
        import urllib3  # here, so that it is loaded in the reporter's thread while the run starts

        if self._pool is None:
            self._pool = urllib3.PoolManager(ca_certs=f"{TOKEN_FOLDER}/ca.crt", retries=False)
        headers = {
            # Read anew each time: the kubelet renews it.
            "Authorization": f"Bearer {Path(TOKEN_FOLDER, 'token').read_text().strip()}",
            "Content-Type": "application/merge-patch+json",
        }
        body = json.dumps({"status": status})
        try:
            answer = self._pool.request("PATCH", self.url, body=body, headers=headers, timeout=10.0)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise WriteError(f"the API server does not answer: {error}", status=0) from None
        if answer.status >= 300:
            raise WriteError(f"the API server answered {answer.status}: {_words(answer.data)}", status=answer.status)


class WriteError(ClusterError):
    """A status could not be written; *status* is the HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    def hopeless(self, waited_seconds: float, last: bool) -> bool:
        """Whether to repeat the write is useless; the *last* one must not keep the pod for long."""
        if self.status == 403:
            return last and waited_seconds > REFUSED_PATIENCE_SECONDS
        return 400 <= self.status < 500 and self.status not in (401, 408, 409, 429)


def _words(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")


class Reporter:
    """Keeps one object's status up to date. `put` never blocks; only the newest status is written."""

    def __init__(self, api: StatusApi) -> None:
        self._api = api
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
                self._api.patch(status)
            except ClusterError as error:
                began = began or time.monotonic()
                waited = time.monotonic() - began
                hopeless = isinstance(error, WriteError) and error.hopeless(waited, last)
                if hopeless or time.monotonic() > self._deadline:
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
