"""Names, labels and paths of everything that exists in a cluster. Nothing else makes them up.

They are deterministic, so that to create an object twice means to find it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import datetime

GROUP = "headwater.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FLOW_LABEL = f"{GROUP}/flow"
VERSION_LABEL = f"{GROUP}/version"
RUN_LABEL = f"{GROUP}/run"
ATTEMPT_LABEL = f"{GROUP}/attempt"
ROLE_LABEL = f"{GROUP}/role"
HASH_LABEL = f"{GROUP}/spec-hash"

# On a Flow: whenever its text changes, the image's tag is looked up anew, by a new version.
RESOLVE_ANNOTATION = f"{GROUP}/resolve-image"
RESOLVE_LENGTH = 128

SCHEDULE_LABEL = f"{GROUP}/schedule"
PARENT_LABEL = f"{GROUP}/parent"

# The ClusterRole by which a flow may start runs, and the RoleBinding to the flows' account in each namespace.
FLOW_RUNS_ROLE = "headwater-flow-runs"

# Flows and runs may be called so long: pods are named after them.
NAME_LENGTH = 52
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")

# Roles of pods
RUNNER = "runner"
WORKER = "worker"
INSPECTION = "inspection"

# Roles of ConfigMaps
LIMITS = "limits"  # somebody's: slots by the name of a limit
TASK_LIMITS = "task-limits"  # somebody's: slots by a tag of tasks
CLAIM = "claim"  # ours: how the run of an idempotency key ended

# In a flow's pods
CONTAINER = "flow"
RUN_FOLDER = "/etc/headwater/run"  # the attempt's Secret: run.json and the TLS pair
SOURCE_FOLDER = "/etc/headwater/source"  # the version's source.files
TOKEN_FOLDER = "/var/run/secrets/headwater.dev"  # the pod's own token
SCHEDULER_PORT = 8786
RECORDS_PORT = 8787  # where lanes tell what they have run


def version_name(flow: str, number: int) -> str:
    return f"{flow}-v{number}"


def event_name(about: str, uid: str, reason: str) -> str:
    """The Event of an object for a reason: one, however often it is told."""
    return f"{about}.{hashlib.sha256(f'{uid}/{reason}'.encode()).hexdigest()[:16]}"


def inspection_name(version: str) -> str:
    return f"{version}-inspect"


def source_name(version: str) -> str:
    return f"{version}-source"


def attempt_name(run: str, attempt: int) -> str:
    """The name of an attempt's runner pod, its Service and its Secret."""
    return f"{run}-a{attempt}"


def worker_name(run: str, attempt: int, index: int) -> str:
    return f"{run}-a{attempt}-w{index}"


def claim_name(flow: str, key: str) -> str:
    """The name of the ConfigMap that says how the flow's run of an idempotency key ended."""
    return f"{flow}-key-{hashlib.sha256(key.encode()).hexdigest()[:20]}"


def child_run_name(parent: str, key: str) -> str:
    """The name of the run that one task run of *parent* starts; *key* says which task run."""
    return object_name(f"{parent}-{key}")


def scheduled_run_name(flow: str, schedule: str, slot: datetime) -> str:
    """The name of the run that a Flow's schedule makes for one time; the time, in UTC, always stands in it.

    Flow "a" may have a schedule "b-c", and a flow "a-b" one called "c": the name says with a hash which of them it is,
    and so it does where the names have to be cut.
    """
    stamp = f"{slot:%Y%m%d%H%M%S}"
    plain = f"{flow}-{schedule}-{stamp}"
    if len(plain) <= NAME_LENGTH and "-" not in schedule:
        return plain
    digest = hashlib.sha256(f"{flow}/{schedule}".encode()).hexdigest()[:8]
    stem = f"{flow}-{schedule}"[: NAME_LENGTH - len(stamp) - len(digest) - 2].rstrip("-")
    return f"{stem}-{stamp}-{digest}"


def object_name(text: str, length: int = NAME_LENGTH) -> str:
    """Return a name for an object that is called by any text: the text itself where it is one.

    What had to be changed or cut ends in a hash of the text, so that other texts give other names.
    """
    if len(text) <= length and _NAME.fullmatch(text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    plain = plain if plain[:1].isalpha() else f"run-{plain}".rstrip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{plain[: length - len(digest) - 1].rstrip('-')}-{digest}"
