"""Whether a run may begin: which version it gets, whether its parameters fit, whether it is its turn. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.resources.conditions import RunState, find
from headwater_operator.flows import plan as flows
from headwater_operator.kinds import Manifest
from headwater_operator.runs.claims import Claim, read_claim
from headwater_operator.runs.facts import Observed
from headwater_operator.runs.parameters import parameter_problem
from headwater_operator.runs.queue import Leave, Stay
from headwater_operator.settings import Settings
from headwater_operator.versions.plan import is_ready, is_settled, message


@dataclass(frozen=True)
class Admitted:
    version: Manifest


@dataclass(frozen=True)
class Waiting:
    """Not yet: *message* says what the run waits for."""

    message: str


@dataclass(frozen=True)
class Refused:
    """Never: *message* says why."""

    message: str
    state: RunState = RunState.FAILED


@dataclass(frozen=True)
class Held:
    """It could begin, but is held back: it is Queued or Suspended, and no deadline passes meanwhile."""

    state: RunState
    message: str


@dataclass(frozen=True)
class Known:
    """A run of its idempotency key has been executed: this one goes to where that one is."""

    claim: Claim


Choice = Admitted | Waiting | Refused
Decision = Choice | Held | Known


def admit(seen: Observed, settings: Settings) -> Decision:
    """Decide for a run that has not begun."""
    if seen.cancel is not None:
        return Refused(f"cancelled before it began ({seen.cancel.why(seen.name)})", RunState.CANCELLED)
    if seen.flow is None:
        return Waiting(
            f'there is no Flow "{seen.run["spec"]["flow"]}" in namespace "{seen.run["metadata"]["namespace"]}"; '
            "the run begins when it is applied"
        )
    claim = read_claim(seen.claim) if seen.claim is not None else None
    if claim is not None:
        return Known(claim)
    for manifest in (seen.run, seen.flow):
        if manifest["spec"].get("suspend"):
            words = f'{manifest["kind"]} "{manifest["metadata"]["name"]}" is suspended (spec.suspend)'
            return Held(RunState.SUSPENDED, words)
    chosen = choose(seen.run, seen.flow, seen.versions, settings)
    if not isinstance(chosen, Admitted):
        return chosen
    problem = parameter_problem(seen.run, chosen.version) or resume_problem(seen)
    return Refused(problem) if problem is not None else _in_turn(seen, chosen)


def resume_problem(seen: Observed) -> str | None:
    """Say why a run cannot go on from the one that it names. One that is deleted by now may have left its ledger."""
    found = seen.resumed
    if found is None:
        return None
    name, flow = found["metadata"]["name"], found["spec"]["flow"]
    if flow != seen.run["spec"]["flow"]:
        return f'spec.resumeFrom.run: FlowRun "{name}" is of another Flow, "{flow}"; name one of this Flow'
    condition = find(found.get("status", {}).get("conditions", []), "Succeeded")
    if condition is None or condition["status"] == "Unknown":
        return f'spec.resumeFrom.run: FlowRun "{name}" is not finished; wait for it or cancel it, then make a new run'
    return None


def _in_turn(seen: Observed, chosen: Admitted) -> Decision:
    """Nothing is wrong with the run; is it its turn?"""
    if seen.rival is not None:
        return Held(RunState.QUEUED, f"run {seen.rival} with the same idempotencyKey goes first")
    match seen.turn:
        case Stay(message):
            return Held(RunState.QUEUED, message)
        case Leave(state, message):
            return Refused(message, state)
    return chosen


def choose(run: Manifest, flow: Manifest, versions: list[Manifest], settings: Settings) -> Choice:
    """Choose the version of a run that has none yet."""
    number = run["spec"].get("version")
    if number is not None:
        found = next((version for version in versions if version["spec"]["number"] == number), None)
        if found is None:
            known = ", ".join(str(v["spec"]["number"]) for v in _by_number(versions)) or "none yet"
            return Refused(f'Flow "{flow["metadata"]["name"]}" has no version {number}; it has {known}')
        return _usable(found)
    facts = flows.Observed(flow, versions, [])
    wanted = flows.wanted_version(facts, settings)
    if wanted is None:
        return _unmade(facts)
    if is_ready(wanted):
        return Admitted(wanted)
    if not is_settled(wanted) and not _is_stuck(wanted):
        # Whoever applied a change and a run together means the change.
        return _usable(wanted)
    current = flows.current_version(facts, wanted)
    return _usable(current if current is not None else wanted)


def _unmade(facts: flows.Observed) -> Choice:
    """The version of the flow as it is now is made in a moment, unless something is in its way: not for ever."""
    why, lasts = flows.why_unmade(facts.flow)
    current = flows.current_version(facts, None)
    if lasts and current is not None:
        return _usable(current)
    words = f'the version of Flow "{facts.flow["metadata"]["name"]}" as it is now is being made'
    return Waiting(f"{words}: {why}" if why else words)


def _usable(version: Manifest) -> Choice:
    name = version["metadata"]["name"]
    if is_ready(version):
        return Admitted(version)
    if is_settled(version):
        return Refused(f"{name} cannot be used: {message(version)}")
    return Waiting(f"{name} is not ready: {message(version)}")


def _is_stuck(version: Manifest) -> bool:
    """Whether the version's inspection waits for somebody to mend something, such as its image."""
    return any(
        condition["type"] == "Stalled" and condition["status"] == "True"
        for condition in version.get("status", {}).get("conditions", [])
    )


def _by_number(versions: list[Manifest]) -> list[Manifest]:
    return sorted(versions, key=lambda version: int(version["spec"]["number"]))
