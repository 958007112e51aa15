"""`headwater backfill`: make the runs of a schedule's past times."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any

import typer

from headwater.cli.console import console
from headwater.core.errors import ClusterError, FlowError
from headwater.kubernetes.client import Cluster
from headwater.resources.scheduled import scheduled_run
from headwater.schedules.limited import TookTooLongError, limited
from headwater.schedules.manifest import clock_from_manifest
from headwater.schedules.zones import find_zone

# More at once is more likely a mistake than meant.
MOST = 1000
# CPU time for finding the times of the range.
LONGEST_SECONDS = 10.0


def backfill(
    flow: Annotated[str, typer.Argument(help="The Flow's name")],
    begin: Annotated[str, typer.Option("--from", help="First time, such as 2026-11-01 or 2026-11-01T09:00:00+01:00")],
    end: Annotated[str, typer.Option("--to", help="Last time; it is part of the range")],
    schedule: Annotated[str | None, typer.Option(help="Name of the schedule, where the Flow has several")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing")] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Execute also what a backfill has executed before"),
    ] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Default: kubeconfig's own")] = None,
    context: Annotated[str | None, typer.Option(help="A context of kubeconfig")] = None,
) -> None:
    """Make the run of each past time of a Flow's schedule that has none.

    Exits 0 when all of them are there, 2 when they cannot be made.
    """
    out = console()
    cluster = Cluster(namespace, context)
    found = cluster.get("flows", flow)
    entry = _entry(found, schedule)
    slots = slots_between(entry, begin, end, datetime.now(UTC))
    made = 0
    for slot in slots:
        run = backfilled_run(found, entry, slot, again)
        name = run["metadata"]["name"]
        if dry_run:
            out.print(f"would make {name}", highlight=False, markup=False)
        elif cluster.create("flowruns", run):
            made += 1
            out.print(f"made {name}", highlight=False, markup=False)
        else:
            out.print(f"{name} is there already", highlight=False, markup=False)
    words = f"{len(slots)} times in the range" + ("" if dry_run else f", {made} runs made")
    out.print(words if slots else f"{words}; {_range_of(entry)}", highlight=False, markup=False)


def backfilled_run(flow: dict[str, Any], entry: dict[str, Any], slot: datetime, again: bool) -> dict[str, Any]:
    """Return the run of a past time; its key keeps it from being executed twice when the history has given it up."""
    run = scheduled_run(flow, entry, slot)
    if not again:
        run["spec"]["idempotencyKey"] = f"backfill/{run['metadata']['name']}"
    return run


def _range_of(entry: dict[str, Any]) -> str:
    """Say why a schedule may have no time in a range."""
    bounds = [f"{field} is {entry[field]}" for field in ("startDate", "endDate") if field in entry]
    return f'schedule "{entry["name"]}" has none there' + (f" ({' and '.join(bounds)})" if bounds else "")


def _entry(flow: dict[str, Any], name: str | None) -> dict[str, Any]:
    entries: list[dict[str, Any]] = flow["spec"].get("schedules", [])
    title = flow["metadata"]["name"]
    if not entries:
        raise ClusterError(f'Flow "{title}" has no schedules; its runs are made one by one, with FlowRuns.')
    names = ", ".join(entry["name"] for entry in entries)
    if name is None and len(entries) > 1:
        raise ClusterError(f'Flow "{title}" has several schedules; choose one with --schedule: {names}.')
    for entry in entries:
        if name in (None, entry["name"]):
            return entry
    raise ClusterError(f'Flow "{title}" has no schedule "{name}"; it has {names}.')


def slots_between(entry: dict[str, Any], begin: str, end: str, now: datetime) -> list[datetime]:
    """Return the times of an entry in a range of the past, in UTC. Raises FlowError for a range that makes no sense."""
    zone = find_zone(entry.get("timeZone", "UTC"), "timeZone")
    first, last = _moment(begin, "--from", zone), _moment(end, "--to", zone)
    if last < first:
        raise FlowError(f"--to {end} is before --from {begin}; exchange them.")
    if last > now:
        raise FlowError(f"--to {end} is in the future; the operator makes those runs in their time.")
    try:
        with limited(LONGEST_SECONDS, f'schedules "{entry["name"]}" takes too long to find its times'):
            return _slots(entry, first, last, f"from {begin} to {end}")
    except (FlowError, TookTooLongError):
        raise
    except Exception as error:  # what an entry says goes through libraries that fail in many ways
        raise FlowError(f'schedules "{entry["name"]}" cannot be read: {type(error).__name__}: {error}') from error


def _slots(entry: dict[str, Any], first: datetime, last: datetime, words: str) -> list[datetime]:
    found: list[datetime] = []
    for event in clock_from_manifest(entry, "schedules").events(_before(first)):
        slot = event.start_time.astimezone(UTC).replace(microsecond=0)
        if slot > last:
            break
        found.append(slot)
        if len(found) > MOST:
            raise FlowError(f"There are more than {MOST} times {words}; give a shorter range.")
    return found


def _before(moment: datetime) -> datetime:
    # What is asked for later than this holds the moment itself.
    return datetime.fromtimestamp(moment.timestamp() - 1e-6, UTC)


def _moment(text: str, option: str, zone: tzinfo) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise FlowError(f"{option} is {text}; write 2026-11-01, or 2026-11-01T09:00:00+01:00.") from None
    try:
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise FlowError(f"{option} is {text}, where the calendar ends; give a time of the past.") from None
