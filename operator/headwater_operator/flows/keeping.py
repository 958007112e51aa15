"""What a Flow gives up: finished runs and old versions that are too many, and claims that are too old. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from headwater_operator.flows import history, schedules
from headwater_operator.flows.plan import Observed, wanted_version
from headwater_operator.kinds import CONFIG_MAP, FLOW_RUN, FLOW_VERSION, Manifest
from headwater_operator.plans import Delete, Patch, Plan
from headwater_operator.runs.claims import surplus
from headwater_operator.settings import Settings

# So many runs go in one look: a Flow whose history was made small has other things to do meanwhile.
AT_ONCE = 100
NEXT_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Ties:
    """What holds on to a flow's objects: *children*, the uids of runs that were started by others which go on;
    *versions*, the names of those that pods were made for; and its *claims*."""

    children: AbstractSet[str] = frozenset()
    versions: AbstractSet[str] = frozenset()
    claims: tuple[Manifest, ...] = ()


def give_up(plan: Plan, seen: Observed, ties: Ties, settings: Settings, now: datetime) -> Plan:
    """Add to a flow's plan what is to go. While something is to be made, nothing goes."""
    if plan.create or "deletionTimestamp" in seen.flow["metadata"]:
        return plan
    spec = seen.flow["spec"]
    unnoted = schedules.unnoted(seen.flow, seen.runs)
    runs = [run for run in seen.runs if run["metadata"]["uid"] not in unnoted]
    verdict = history.judge(runs, spec.get("history", {}), ties.children, now)
    wanted = wanted_version(seen, settings)
    current = (plan.status or {}).get("currentVersion", {}).get("name")
    needed = {*ties.versions, current} | ({wanted["metadata"]["name"]} if wanted is not None else set())
    limit = int(spec.get("versions", {}).get("historyLimit", history.KEPT_VERSIONS))
    gone = [
        *((FLOW_RUN, run) for run in verdict.delete[:AT_ONCE]),
        *((FLOW_VERSION, old) for old in history.old_versions(seen.versions, limit, seen.runs, needed)),
    ]
    deletes = [Delete(kind, found["metadata"]["name"], uid=found["metadata"]["uid"]) for kind, found in gone]
    rest = NEXT_LOOK_SECONDS if max(len(verdict.delete), len(verdict.compact)) > AT_ONCE else None
    waits = [seconds for seconds in (plan.again_seconds, verdict.again_seconds, rest) if seconds is not None]
    return replace(
        plan,
        delete=(*plan.delete, *deletes, *(Delete(CONFIG_MAP, name) for name in surplus(ties.claims))),
        patches=tuple(Patch(FLOW_RUN, run, history.compacted(run, now)) for run in verdict.compact[:AT_ONCE]),
        again_seconds=min(waits, default=None),
    )
