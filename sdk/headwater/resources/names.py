"""Names, labels and paths of everything that exists in a cluster. Nothing else makes them up.

They are deterministic, so that to create an object twice means to find it.
"""

from __future__ import annotations

GROUP = "headwater.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FLOW_LABEL = f"{GROUP}/flow"
VERSION_LABEL = f"{GROUP}/version"
RUN_LABEL = f"{GROUP}/run"
ATTEMPT_LABEL = f"{GROUP}/attempt"
ROLE_LABEL = f"{GROUP}/role"
HASH_LABEL = f"{GROUP}/spec-hash"

# Roles of pods
RUNNER = "runner"
WORKER = "worker"
INSPECTION = "inspection"

# In a flow's pods
CONTAINER = "flow"
RUN_FOLDER = "/etc/headwater/run"  # the attempt's Secret: run.json and the TLS pair
SOURCE_FOLDER = "/etc/headwater/source"  # the version's source.files
TOKEN_FOLDER = "/var/run/secrets/headwater.dev"  # the pod's own token
SCHEDULER_PORT = 8786


def version_name(flow: str, number: int) -> str:
    return f"{flow}-v{number}"


def inspection_name(version: str) -> str:
    return f"{version}-inspect"


def source_name(version: str) -> str:
    return f"{version}-source"


def attempt_name(run: str, attempt: int) -> str:
    """The name of an attempt's runner pod, its Service and its Secret."""
    return f"{run}-a{attempt}"


def worker_name(run: str, attempt: int, index: int) -> str:
    return f"{run}-a{attempt}-w{index}"
