"""What a decision about a FlowRun is made from: the run, its flow and versions, its pods. Values, read once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.resources import names
from headwater.resources.conditions import RunState, find, parse_timestamp
from headwater_operator import pods
from headwater_operator.kinds import Manifest
from headwater_operator.objects.pods import DEFAULT_START_DEADLINE_SECONDS
from headwater_operator.plans import Refusal
from headwater_operator.runs.cancel import Wish
from headwater_operator.runs.queue import Turn

DEADLINES = ("startDeadlineSeconds", "timeoutSeconds")


@dataclass(frozen=True)
class Observed:
    """A run and what exists around it.

    *address* is the cluster IP of the attempt's Service and *secret* tells whether its Secret was made,
    as far as this operator knows; *pair* is a fresh certificate and key in case the Secret is to be made. *turn* is
    None where no limit holds; *replaced_by* names the run that takes this one's place. Of a run with an idempotency
    key, *claim* says how an earlier one ended, and *rival* names one that is not over. *cancel* is set when somebody
    wants the run to stop. *task_limits* are the tags that are limited in its namespace. *resumed* is the run that it
    goes on from, if that is still there.
    """

    run: Manifest
    flow: Manifest | None
    versions: list[Manifest]
    pods: list[Manifest]
    address: str | None = None
    secret: bool = False
    account: bool = True
    pair: tuple[str, str] | None = None
    refusal: Refusal | None = None  # what the API server said when it last refused a pod of this run
    turn: Turn | None = None
    replaced_by: str | None = None
    claim: Manifest | None = None
    rival: str | None = None
    cancel: Wish | None = None
    task_limits: tuple[str, ...] = ()
    resumed: Manifest | None = None

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.run.get("status", {}))

    @property
    def name(self) -> str:
        return str(self.run["metadata"]["name"])

    @property
    def attempt(self) -> int:
        return int(self.status.get("attempt", {}).get("number", 1))

    @property
    def begun(self) -> bool:
        """Whether this attempt was admitted: it stands in the status, or its runner exists already."""
        return "attempt" in self.status or self.runner is not None

    @property
    def finished(self) -> bool:
        condition = find(self.status.get("conditions", []), "Succeeded")
        return condition is not None and condition["status"] != "Unknown"

    @property
    def in_line(self) -> bool:
        """Whether the run's own status says that it is held back."""
        condition = find(self.status.get("conditions", []), "Succeeded")
        return condition is not None and condition["reason"] in (RunState.QUEUED, RunState.SUSPENDED)

    @property
    def in_line_for_slots(self) -> bool:
        """Whether the run's own status says that all its tasks wait for slots: else it is not Running before the first
        has begun. Those that have got some need time to begin."""
        condition = find(self.status.get("conditions", []), "Succeeded")
        return self.first_task_at is None and condition is not None and condition["reason"] == RunState.RUNNING

    @property
    def runner(self) -> Manifest | None:
        name = names.attempt_name(self.name, self.attempt)
        return next((pod for pod in self.pods if pod["metadata"]["name"] == name), None)

    @property
    def report(self) -> dict[str, Any] | None:
        """What the runner says of the run's end; in its termination message, when the status could not be written."""
        if self.status.get("report"):
            return dict(self.status["report"])
        word = pods.last_word(self.runner) if self.runner is not None and pods.has_ended(self.runner) else None
        return word if word is not None and "state" in word else None

    @property
    def workers(self) -> list[Manifest]:
        return [pod for pod in self.pods if pod["metadata"]["labels"].get(names.ROLE_LABEL) == names.WORKER]

    @property
    def version(self) -> Manifest | None:
        """The version that the run was pinned to: by its status, else by its runner's label.

        None once it is deleted, as its Flow was. One that is younger than the attempt is of another Flow of that name.
        """
        pinned, made_at = self.status.get("version", {}).get("name"), self.status.get("attempt", {}).get("startedAt")
        if self.runner is not None:
            pinned = pinned or self.runner["metadata"]["labels"].get(names.VERSION_LABEL)
            made_at = made_at or self.runner["metadata"]["creationTimestamp"]
        for version in self.versions:
            if version["metadata"]["name"] == pinned:
                made = parse_timestamp(version["metadata"]["creationTimestamp"])
                return version if made_at is None or made <= parse_timestamp(made_at) else None
        return None

    @property
    def terms(self) -> dict[str, int]:
        """How many workers the version wants, and its deadlines. They are noted with the attempt: a version that is
        deleted with its Flow leaves a run under way behind."""
        if self.version is None:
            attempt = self.status.get("attempt", {})
            return {name: int(attempt[name]) for name in ("workers", *DEADLINES) if name in attempt}
        spec = self.version["spec"]
        execution = spec.get("execution", {})
        workers = int(execution.get("workers", 1)) if execution.get("provisioner", "Pods") == "Pods" else 0
        return {"workers": workers, **{name: int(spec[name]) for name in DEADLINES if spec.get(name) is not None}}

    @property
    def wanted_workers(self) -> int:
        return self.terms.get("workers", 0)

    @property
    def created_at(self) -> datetime:
        return parse_timestamp(self.run["metadata"]["creationTimestamp"])

    @property
    def first_task_at(self) -> str | None:
        at = self.status.get("timeline", {}).get("firstTaskAt")
        return str(at) if at is not None else None

    @property
    def lacks_slots(self) -> tuple[str, ...]:
        """The limited tags of which it has no slot and wants some, while no task of it runs."""
        if self.status.get("progress", {}).get("running"):
            return ()
        tags = (self.status.get("taskDemand") or {}).get("tags") or []
        return tuple(tag["name"] for tag in tags if tag["wanted"] and not tag["held"])

    @property
    def may_begin_since(self) -> datetime | None:
        """Since when nothing has held the run back; None while something does."""
        if self.in_line or self.in_line_for_slots:
            return None
        released_at = self.status.get("timeline", {}).get("releasedAt")
        return parse_timestamp(released_at) if released_at is not None else self.created_at

    def start_deadline_seconds(self) -> int:
        spec = self.terms if self.version is not None or self.flow is None else {**self.flow["spec"], **self.terms}
        return int(spec.get("startDeadlineSeconds", DEFAULT_START_DEADLINE_SECONDS))

    def timeout_seconds(self) -> int | None:
        return self.terms.get("timeoutSeconds")
