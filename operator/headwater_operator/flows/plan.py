"""What to do about a Flow: mint a version when what runs has changed, and say which one is current."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headwater.resources.conditions import (
    Condition,
    RunState,
    find,
    held_up,
    parse_timestamp,
    ready,
    reconciling,
    stalled,
    timestamp,
    to_manifest,
)
from headwater.resources.names import HASH_LABEL
from headwater.resources.versions import resolve_wish, spec_hash, versioned
from headwater_operator.events import WARNING, Event
from headwater_operator.flows import schedules
from headwater_operator.flows.numbers import highest_number
from headwater_operator.kinds import FLOW_RUN, Manifest
from headwater_operator.objects.others import flow_version
from headwater_operator.plans import AGAIN, LONGEST_PAUSE_SECONDS, Plan, Refusal
from headwater_operator.runs.parameters import parameter_problem
from headwater_operator.settings import Settings
from headwater_operator.trouble import trouble
from headwater_operator.versions.plan import is_ready, is_settled, message

# States of a run that waits until it may begin.
IN_LINE = (RunState.QUEUED, RunState.SUSPENDED)

# Why there is no version of the spec as it is now.
UNMADE = ("VersionRefused", "VersionNotMade")


@dataclass(frozen=True)
class Observed:
    """A flow, all its versions and all its runs; *refusal* is what the API server said when it last refused a run,
    *version_refusal* when it refused the version. *ownerless* are versions of an earlier flow of this name that was
    deleted without them: nobody deletes them, and their names are taken."""

    flow: Manifest
    versions: list[Manifest]
    runs: list[Manifest]
    refusal: Refusal | None = None
    version_refusal: Refusal | None = None
    ownerless: tuple[Manifest, ...] = ()


def plan(seen: Observed, settings: Settings, now: datetime) -> Plan:
    """Decide. The same spec gives the same version, also after a rollback; a number is never used twice."""
    if "deletionTimestamp" in seen.flow["metadata"]:
        return Plan()
    wanted = wanted_version(seen, settings)
    if wanted is not None:
        return _schedule(seen, wanted, now)
    minted, refusal = _mint(seen, settings), seen.version_refusal
    if refusal is None:
        return minted
    # Meanwhile the last good version is current, and schedules go on with it.
    decided = _schedule(seen, None, now)
    waits = [s for s in (decided.again_seconds, refusal.again_seconds(now)) if s is not None]
    again = minted.create if refusal.is_over(now) else ()
    return replace(decided, create=(*decided.create, *again), again_seconds=min(waits))


def _mint(seen: Observed, settings: Settings) -> Plan:
    frozen = _frozen(seen.flow, settings)
    number = 1 + highest_number(seen.flow, (*seen.versions, *seen.ownerless), seen.runs)
    version = flow_version(flow=seen.flow, number=number, frozen=frozen, spec_hash=spec_hash(frozen))
    made = Event("VersionMade", f"{version['metadata']['name']} is made of image {frozen['image']}")
    return Plan(create=(version,), events=(made,))


def _schedule(seen: Observed, wanted: Manifest | None, now: datetime) -> Plan:
    """Make the runs that schedules ask for, else say how things are."""
    asked = schedules.due(seen.flow, now, lambda entry: _refusal_of(entry, current_version(seen, wanted)))
    there = {run["metadata"]["name"] for run in seen.runs}
    missing = tuple(run for run in asked.runs if run["metadata"]["name"] not in there)
    if missing and seen.refusal is not None:
        return _refused(seen, wanted, asked, missing, now)
    if missing:
        # First they are made and then it is noted, so that none is lost when this operator goes in between.
        return Plan(create=missing)
    said = _say(seen, wanted, asked, now)
    missed = tuple(Event("MissedTimes", words, WARNING) for words in asked.missed.values())
    return replace(said, again_seconds=asked.again_seconds, events=missed)


def _refused(
    seen: Observed, wanted: Manifest | None, asked: schedules.Due, missing: tuple[Manifest, ...], now: datetime
) -> Plan:
    """The API server does not take a run: say so, and do not note the times whose runs are still to be made."""
    refusal = seen.refusal
    assert refusal is not None
    words = f"a run is {refusal.how}: {refusal.message}{AGAIN}"
    told = _trouble(seen, replace(refusal, kind=FLOW_RUN.name), words, now)
    said = _say(seen, wanted, schedules.held(asked, seen.flow, missing), now, told)
    # What has become due since then may be another schedule's, and wanted.
    due = missing if refusal.is_over(now) else tuple(run for run in missing if _slot(run) > refusal.since(now))
    wait = min(max(1.0, asked.again_seconds or LONGEST_PAUSE_SECONDS), refusal.again_seconds(now))
    return replace(said, create=due, again_seconds=wait)


def _refusal_of(entry: Mapping[str, Any], version: Manifest | None) -> str | None:
    """Why the runs of a schedule would be refused, None when they would not, or nobody knows yet."""
    if version is None or not is_ready(version):
        return None
    return parameter_problem({"spec": {"parameters": entry.get("parameters", {})}}, version)


def _slot(run: Manifest) -> datetime:
    return parse_timestamp(run["spec"]["scheduledTime"])


def _frozen(flow: Manifest, settings: Settings) -> dict[str, Any]:
    return versioned(flow["spec"], settings.runtime_image, resolve_wish(flow))


def wanted_version(seen: Observed, settings: Settings) -> Manifest | None:
    """Return the version of the flow's spec as it is now, or None when there is none yet."""
    digest = spec_hash(_frozen(seen.flow, settings))
    same = [v for v in seen.versions if v["metadata"].get("labels", {}).get(HASH_LABEL) == digest]
    return max(same, key=lambda version: version["spec"]["number"], default=None)


def current_version(seen: Observed, wanted: Manifest | None) -> Manifest | None:
    """Return the version that a run without a version gets: the wanted one once it is ready,
    until then and when it is broken the last good one; None when there never was one."""
    if wanted is not None and is_ready(wanted):
        return wanted
    name = seen.flow.get("status", {}).get("currentVersion", {}).get("name")
    return next((version for version in seen.versions if version["metadata"]["name"] == name), None)


def _say(
    seen: Observed,
    wanted: Manifest | None,
    asked: schedules.Due,
    now: datetime,
    told: list[Condition] | None = None,
) -> Plan:
    current = current_version(seen, wanted)
    generation = seen.flow["metadata"]["generation"]
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "runs": _counts(seen.runs),
        "conditions": to_manifest(
            _unmade(seen, current, now)
            if wanted is None
            else _conditions(wanted, current, told or _wrong(asked.problems)),
            seen.flow.get("status", {}).get("conditions", []),
            generation,
            now,
        ),
    }
    if seen.flow["spec"].get("schedules") or "schedules" in seen.flow.get("status", {}):
        status["schedules"] = asked.status or None
        status["nextRunTime"] = timestamp(asked.next_run) if asked.next_run is not None else None
    if resolve_wish(seen.flow) or "resolveImage" in seen.flow.get("status", {}):
        status["resolveImage"] = resolve_wish(seen.flow) or None
    if current is not None:
        status["currentVersion"] = {"name": current["metadata"]["name"], "number": current["spec"]["number"]}
    elif "currentVersion" in seen.flow.get("status", {}):
        status["currentVersion"] = None  # somebody has deleted it
    if seen.versions:
        status["lastVersionNumber"] = highest_number(seen.flow, seen.versions, seen.runs)
    last = _last_run(seen.runs)
    if last is not None:
        status["lastRun"] = last
    return Plan(status=status)


def _wrong(problems: tuple[str, ...]) -> list[Condition] | None:
    return stalled("InvalidSchedule", f"{'; '.join(problems)}. The other schedules go on") if problems else None


def _unmade(seen: Observed, current: Manifest | None, now: datetime) -> list[Condition]:
    """The version of the spec as it is now cannot be made."""
    refusal = seen.version_refusal
    assert refusal is not None, "else it is made first"
    words = f"{refusal.words('')}{_stays(current)}"
    return _trouble(seen, refusal, words, now)


def _trouble(seen: Observed, refusal: Refusal, words: str, now: datetime) -> list[Condition]:
    before = seen.flow.get("status", {}).get("conditions", [])
    return stalled(refusal.reason, words) if refusal.permanent else trouble(refusal.reason, words, before, now)


def _stays(current: Manifest | None) -> str:
    return f"; {current['metadata']['name']} stays current" if current is not None else ""


def _conditions(wanted: Manifest, current: Manifest | None, told: list[Condition] | None) -> list[Condition]:
    name = wanted["metadata"]["name"]
    if is_ready(wanted):
        return told or ready("VersionReady", f"{name} is current")
    own = wanted.get("status", {}).get("conditions", [])
    condition = find(own, "Stalled")
    if condition is not None and condition["status"] == "True":
        return stalled(condition["reason"], f"{name} cannot be used{_stays(current)}: {message(wanted)}")
    assert not is_settled(wanted), "a settled version is ready or stalled"
    words = f"{name}: {message(wanted)}{_stays(current)}"
    condition = find(own, "Ready")
    if condition is not None and condition["status"] == "False":
        return held_up(condition["reason"], words)
    return reconciling("NewVersion", words)


def why_unmade(flow: Manifest) -> tuple[str, bool]:
    """Return what keeps the version of the spec as it is now from being made, "" when nothing is known to, and whether
    that has lasted."""
    status = flow.get("status", {})
    condition = find(status.get("conditions", []), "Ready")
    if condition is None or condition["status"] != "False" or condition["reason"] not in UNMADE:
        return "", False
    seen = status.get("observedGeneration") == flow["metadata"]["generation"]
    found = find(status["conditions"], "Stalled")
    return (str(condition["message"]), found is not None) if seen else ("", False)


def _counts(runs: list[Manifest]) -> dict[str, int]:
    """How many runs are held back, and how many others are not finished."""
    unfinished = [run for run in runs if _state(run) is None]
    conditions = [find(run.get("status", {}).get("conditions", []), "Succeeded") for run in unfinished]
    queued = sum(1 for condition in conditions if condition and condition["reason"] in IN_LINE)
    return {"active": len(unfinished) - queued, "queued": queued}


def _state(run: Manifest) -> str | None:
    """The final state of a run, or None while it is not finished."""
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    return str(condition["reason"]) if condition is not None and condition["status"] != "Unknown" else None


def _last_run(runs: list[Manifest]) -> dict[str, Any] | None:
    """The run that finished last."""
    finished = [run for run in runs if _state(run) is not None and "finishedAt" in run.get("status", {})]
    if not finished:
        return None
    last = max(finished, key=lambda run: str(run["status"]["finishedAt"]))
    return {"name": last["metadata"]["name"], "state": _state(last), "finishedAt": last["status"]["finishedAt"]}
