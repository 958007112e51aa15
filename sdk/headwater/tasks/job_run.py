"""One run of a Kubernetes Job: made or found again, followed to its end, deleted.

A thread does all of it; the one that called only waits, so that it can be interrupted at any time and the Job is
deleted whatever was under way.
"""

from __future__ import annotations

import logging
import threading
import time
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from headwater.core.errors import ClusterError, HeadwaterError
from headwater.resources.names import GROUP
from headwater.tasks.job_api import PATIENCE_SECONDS, REQUEST_SECONDS, Job, Jobs
from headwater.tasks.job_pods import JobPods

# Which task run a Job belongs to.
TASK_RUN_ANNOTATION = f"{GROUP}/task-run"
LOOK_SECONDS = 0.2  # how soon an interruption of the thread that waits is noticed
WINDOW_SECONDS = 10  # how often pods are looked at when the Job does not change


class JobError(HeadwaterError):
    """A Job failed, took too long, was deleted by somebody, or belongs to somebody else."""


@dataclass(frozen=True)
class Order:
    """What is to be done."""

    manifest: Job
    mark: str
    timeout_seconds: float | None
    delete: bool
    log_pods: bool
    logger: logging.Logger


class JobRun:
    """Carries out an order: `run` returns when the Job has succeeded."""

    def __init__(self, order: Order, jobs: Jobs) -> None:
        self._order = order
        self._jobs = jobs
        self._job: Job | None = None
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Raises JobError and ClusterError. Any exception raised in this thread meanwhile deletes the Job."""
        thread = threading.Thread(target=copy_context().run, args=(self._work,), name="job", daemon=True)
        try:
            thread.start()
            while not self._done.wait(LOOK_SECONDS):
                pass
        except BaseException:
            self._stopped.set()
            if self._job is not None:
                # In a thread of its own: another interruption must not keep it from being sent.
                deleter = threading.Thread(target=self._delete, name="job-delete")
                deleter.start()
                deleter.join(REQUEST_SECONDS[1])
            else:
                self._done.wait(REQUEST_SECONDS[1])  # being made just now, deleted as soon as it is
            raise
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            self._job = self._made_or_found()
            self._follow(self._job)
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def _made_or_found(self) -> Job:
        order, name = self._order, self._order.manifest["metadata"]["name"]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            made = self._jobs.create(order.manifest)
            if made is not None:
                order.logger.info("Job %s is made.", name)
                return made
            found = self._jobs.get(name)
            if found is None:
                continue
            if "deletionTimestamp" in found["metadata"]:
                time.sleep(1.0)
            elif (found["metadata"].get("annotations") or {}).get(TASK_RUN_ANNOTATION) != order.mark:
                raise JobError(
                    f'Job "{name}" in namespace "{self._jobs.namespace}" exists and was not made by this task run; '
                    "delete it, or leave metadata.name out of the body, so that each run has one of its own."
                )
            elif _condition(found, "Failed") is not None:
                self._jobs.delete(found)  # an earlier attempt's
            else:
                order.logger.info("Job %s was made before by this task run; it is followed.", name)
                return found
        raise JobError(f'Job "{name}" in namespace "{self._jobs.namespace}" is being deleted, and stays.')

    def _follow(self, job: Job) -> None:
        from kubernetes.client import CoreV1Api

        order, name = self._order, job["metadata"]["name"]
        namespace = self._jobs.namespace
        pods = JobPods(CoreV1Api(self._jobs.client), namespace, job["metadata"]["uid"], order.logger, order.log_pods)
        over = False
        try:
            ended = self._ended(job, pods)
            over = True
            failure = _condition(ended, "Failed")
            if order.log_pods or failure is not None:
                pods.finish()
            if failure is not None:
                raise JobError(
                    f'Job "{name}" in namespace "{namespace}" failed: {failure.get("reason")}: '
                    f"{failure.get('message')}.{pods.report()}"
                )
            order.logger.info("Job %s has succeeded.", name)
        finally:
            # A Job that nobody follows any more must not run on.
            if order.delete or not over:
                self._delete()

    def _ended(self, job: Job, pods: JobPods) -> Job:
        name, limit = job["metadata"]["name"], self._order.timeout_seconds
        deadline = None if limit is None else time.monotonic() + limit
        current: Job | None = job
        while not self._stopped.is_set():
            if current is None:
                raise JobError(f'Job "{name}" was deleted before it ended.{pods.report()}')
            if _condition(current, "Complete") or _condition(current, "Failed"):
                return current
            pods.look()
            left = WINDOW_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise JobError(f'Job "{name}" did not end within {limit:g} seconds and was deleted.{pods.report()}')
            current = self._jobs.change(current, max(1, min(WINDOW_SECONDS, round(left))))
        raise JobError(f'Job "{name}" was interrupted.')

    def _delete(self) -> None:
        if self._job is None:
            return
        try:
            self._jobs.delete(self._job)
        except ClusterError as error:
            self._order.logger.warning("Job %s was not deleted: %s", self._job["metadata"]["name"], error)


def _condition(job: Job, kind: str) -> dict[str, Any] | None:
    conditions = job.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


__all__ = ["TASK_RUN_ANNOTATION", "JobError", "JobRun", "Order"]
