"""The pods of a Kubernetes Job: their logs, line by line as they come, and what keeps them from running.

Pods are looked at now and then; a thread per container reads its log meanwhile. What cannot be read is left out: the
Job's end does not depend on it.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

LAST_LINES = 20
LINE_LENGTH = 500
CHUNK = 1 << 16
# A log is read on where it broke off. Clocks of machines differ; what comes twice is told once.
OVERLAP_SECONDS = 60
REQUEST_SECONDS = (10.0, 300.0)  # for the connection, and without a line
LAST_LOOK_SECONDS = 30.0

Pod = dict[str, Any]


class JobPods:
    """The pods of the Job *uid*. With *log* their lines go to the logger; the last ones are known in any case."""

    def __init__(self, api: Any, namespace: str, uid: str, logger: logging.Logger, log: bool) -> None:
        self._api = api  # a CoreV1Api
        self._namespace = namespace
        self._selector = f"batch.kubernetes.io/controller-uid={uid}"
        self._logger = logger
        self._log = log
        self._pods: list[Pod] = []
        self._logs: dict[tuple[str, str], _Log] = {}
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._told: set[str] = set()

    def look(self) -> None:
        """See which pods there are; read the logs that can be read, and warn of what is not as it should be."""
        self._pods = self._list() or self._pods
        for pod in self._pods:
            for problem in _waits_for(pod):
                self._warn_once(problem)
        if self._log:
            self._read_on()

    def finish(self) -> None:
        """Read the logs to their ends; the Job is over."""
        deadline = time.monotonic() + LAST_LOOK_SECONDS
        for _ in range(2):  # a log that broke off is read on once
            self.look()
            self._read_on()
            for log in self._logs.values():
                log.join(deadline - time.monotonic())

    def report(self) -> str:
        """Return how the pods ended, or what they wait for, and the last lines of their logs."""
        facts = [fact for pod in self._pods for fact in (*_ended(pod), *_waits_for(pod))]
        found = f" {'; '.join(facts[-5:])}." if facts else ""
        lines = "\n".join(line[:LINE_LENGTH] for line in self._lines)
        return f"{found} Its last lines:\n{lines}" if lines else found

    def _list(self) -> list[Pod]:
        try:
            answer = self._api.list_namespaced_pod(
                self._namespace, label_selector=self._selector, _preload_content=False, _request_timeout=REQUEST_SECONDS
            )
            if answer.status == 200:
                return list(json.loads(answer.data)["items"])
            problem = f"the API server answered {answer.status}"
        except Exception as error:  # the client's and urllib3's; the Job itself is followed elsewhere
            problem = f"{type(error).__name__}: {error}"
        self._warn_once(f"The pods of the Job cannot be listed ({problem}), so that their logs are not shown")
        return []

    def _read_on(self) -> None:
        for pod in self._pods:
            name, several = pod["metadata"]["name"], len(pod["spec"]["containers"]) > 1
            for status in _containers(pod):
                container, state = status["name"], status.get("state", {})
                if "running" in state or "terminated" in state:
                    title = f"{name}/{container}" if several else name
                    log = self._log_of(pod, container, title)
                    log.read_on(status.get("containerID", ""), ended="terminated" in state)

    def _log_of(self, pod: Pod, container: str, title: str) -> _Log:
        tail = None if self._log else LAST_LINES
        key = pod["metadata"]["name"], container
        return self._logs.setdefault(key, _Log(self._api, pod, container, title, self._tell, tail))

    def _tell(self, title: str, line: str) -> None:
        self._lines.append(line)
        if self._log:
            self._logger.info("%s | %s", title, line)

    def _warn_once(self, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            self._logger.warning("%s.", words)


class _Log:
    """The log of a container, through its restarts."""

    def __init__(self, api: Any, pod: Pod, container: str, title: str, tell: Any, tail: int | None) -> None:
        self._api = api
        self._pod = pod
        self._container = container
        self._title = title
        self._tell = tell
        self._tail = tail
        self._last = ""  # the timestamp of the last line that was told
        self._complete: str | None = None
        self._thread: threading.Thread | None = None

    def read_on(self, container_id: str, ended: bool) -> None:
        """Start to read what was not read yet, unless that is under way or all was read."""
        if (self._thread is not None and self._thread.is_alive()) or self._complete == container_id:
            return
        self._thread = threading.Thread(target=self._read, args=(container_id, ended), name="pod-log", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))

    def _read(self, container_id: str, ended: bool) -> None:
        try:
            for line in self._lines_from_here(follow=not ended):
                at, _, words = line.partition(" ")
                if at > self._last:
                    self._last = at
                    self._tell(self._title, words)
            if ended:
                self._complete = container_id
        except Exception:  # broken off; it is read on when the pods are looked at next
            logging.getLogger("headwater.tasks").debug("The log of %s broke off.", self._title, exc_info=True)

    def _lines_from_here(self, follow: bool) -> Iterator[str]:
        metadata = self._pod["metadata"]
        since = {} if self._tail is None else {"tail_lines": self._tail}
        if self._last:
            since["since_seconds"] = _age(self._last) + OVERLAP_SECONDS
        response = self._api.read_namespaced_pod_log(
            metadata["name"],
            metadata["namespace"],
            container=self._container,
            follow=follow,
            timestamps=True,
            _preload_content=False,
            _request_timeout=REQUEST_SECONDS,
            **since,
        )
        try:
            if response.status != 200:
                raise OSError(f"the API server answered {response.status}")
            rest = b""
            while data := response.read1(CHUNK):
                *whole, rest = (rest + data).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
            if rest:
                yield rest.decode(errors="replace")
        finally:
            response.close()
            response.release_conn()


def _age(timestamp: str) -> int:
    return max(0, math.ceil(time.time() - datetime.fromisoformat(timestamp).timestamp()))


def _containers(pod: Pod) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _waits_for(pod: Pod) -> list[str]:
    """Say what keeps a pod from running, as far as Kubernetes says so."""
    name, found = pod["metadata"]["name"], []
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            found.append(f"Pod {name} has no node: {_words(condition)}")
    for status in _containers(pod):
        waiting = status.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            found.append(f"Pod {name} waits: {waiting['reason']}: {_words(waiting)}")
    return found


def _ended(pod: Pod) -> list[str]:
    found = []
    for status in _containers(pod):
        ended = status.get("state", {}).get("terminated")
        if ended and ended.get("exitCode"):
            reason = f" ({ended['reason']})" if ended.get("reason") else ""
            found.append(
                f"Pod {pod['metadata']['name']}: container {status['name']} exited with {ended['exitCode']}{reason}"
            )
    return found


def _words(said: dict[str, Any]) -> str:
    return " ".join(str(said.get("message", "")).split()).rstrip(".")


__all__ = ["JobPods"]
