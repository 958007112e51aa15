"""run.json: what the operator hands to an attempt's pods, as a file, so that they need not read the API server.

Operator and flow images are upgraded at different times. The schema number says what a pod can
expect; a pod refuses a number that it does not know, in words.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headwater.core.errors import HeadwaterError

SCHEMA = 1


class HandoverError(HeadwaterError):
    """The operator's file is missing or of another time."""


@dataclass(frozen=True)
class Handover:
    """One attempt of a run with the uid *uid*. *parameters* are those of the Flow with the run's own over them.

    *title* is what the run calls itself, "" for its name; *scheduled_time*, in RFC 3339, is the time of a schedule that
    it is for, "" for none. *resume_run* is the earlier run whose ledger says what need not run again, "" for none, and
    *resume_uid* is its uid if it was still there; *resume_tasks* are slugs of tasks that run again all the same.
    *decisions* are spec.decisions then. *task_limits* are the tags that have a limit in the namespace.
    """

    run: str
    namespace: str
    flow: str
    version: str
    attempt: int
    entrypoint: str
    parameters: dict[str, Any] = field(default_factory=dict)
    provisioner: str = "Pods"
    threads_per_worker: int = 1
    tls: bool = True
    title: str = ""
    scheduled_time: str = ""
    resume_run: str = ""
    resume_uid: str = ""
    resume_tasks: list[str] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    task_limits: list[str] = field(default_factory=list)
    uid: str = ""
    schema: int = SCHEMA

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def read_handover(folder: Path) -> Handover:
    """Read run.json. Raises HandoverError that says what to upgrade."""
    file = folder / "run.json"
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise HandoverError(
            f"{file} cannot be read ({error}); this command runs in pods that the operator makes."
        ) from None
    schema = data.get("schema")
    if schema != SCHEMA:
        older = "flow image" if isinstance(schema, int) and schema > SCHEMA else "operator"
        raise HandoverError(
            f"The operator speaks schema {schema} of run.json and this flow image speaks {SCHEMA}: upgrade the {older}."
        )
    # A newer operator may tell more; what has to be understood would be another schema.
    return Handover(**{name: value for name, value in data.items() if name in Handover.__dataclass_fields__})
