"""The numbers of a Flow's versions: each is given once, also when the version that had it is gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headwater_operator.kinds import Manifest


def highest_number(flow: Manifest, versions: Iterable[Manifest], runs: Iterable[Manifest]) -> int:
    """The highest number that a version of a flow has had, 0 before the first.

    The flow's status keeps it. That is written after the version was made, so versions and runs count as well.
    """
    status: dict[str, Any] = flow.get("status", {})
    found = [status.get("lastVersionNumber", 0), status.get("currentVersion", {}).get("number", 0)]
    found += [version["spec"]["number"] for version in versions]
    found += [run.get("status", {}).get("version", {}).get("number", 0) for run in runs]
    return max(map(int, found))
