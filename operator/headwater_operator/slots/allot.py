"""Who gets how many slots of the limited tags of a namespace. Pure.

    wanted    what a run could use now, as its runner says          granted   what it may use, as its status says
    held      what it may be using, as its runner says               heard    the grant that its runner has taken in

A run counts with the larger of granted and held: it may use what it was granted before its runner says so, and
has to let run on what is more than a smaller grant. So only what was heard is made smaller. Whoever crashes or is
deleted between two of these steps leaves no slot behind, as everything stands in the runs themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from headwater_operator.runs.concurrency import LARGEST, BadLimit, Limits

Slots = Mapping[str, int]


@dataclass(frozen=True)
class Seat:
    """A run that has to do with limited tags; *order* puts the one that goes first before the others.

    *promised* is what was granted to it as far as anybody knows, though its status does not show it.
    """

    uid: str
    order: tuple[int, str, str]
    wanted: Slots = field(default_factory=dict)
    held: Slots = field(default_factory=dict)
    heard: int = 0
    granted: Slots = field(default_factory=dict)
    serial: int = 0
    promised: Slots = field(default_factory=dict)
    leaves: bool = False  # it is over, but what it held may still run

    def counted(self, tag: str) -> int:
        return max(self.granted.get(tag, 0), self.held.get(tag, 0), self.promised.get(tag, 0))


def allot(limits: Limits, seats: Sequence[Seat]) -> dict[str, dict[str, int]]:
    """Return what each run that goes on is granted from now on, by its uid and tag."""
    found: dict[str, dict[str, int]] = {seat.uid: {} for seat in seats if not seat.leaves}
    for tag in sorted({tag for seat in seats for tag in seat.wanted}):
        for uid, slots in _allot_tag(tag, limits.get(tag), [seat for seat in seats if tag in seat.wanted]).items():
            found[uid][tag] = slots
    return found


def _allot_tag(tag: str, limit: int | BadLimit | None, seats: list[Seat]) -> dict[str, int]:
    staying = sorted((seat for seat in seats if not seat.leaves), key=lambda seat: seat.order)
    if limit is None:
        return {seat.uid: LARGEST for seat in staying}
    slots = limit if isinstance(limit, int) else 0
    targets = dict(zip((seat.uid for seat in staying), _fair(slots, staying, tag), strict=True))
    free = slots - sum(seat.counted(tag) for seat in seats)
    granted = {seat.uid: seat.granted.get(tag, 0) for seat in staying}
    for seat in staying:
        lacks = targets[seat.uid] - granted[seat.uid]
        if lacks > 0:
            # What it may be using anyway costs nothing.
            counted = min(lacks, seat.counted(tag) - granted[seat.uid])
            more = min(lacks - counted, max(0, free))
            granted[seat.uid] += counted + more
            free -= more
    if free < 0 or any(granted[uid] < targets[uid] for uid in targets):
        for seat in staying:
            if granted[seat.uid] > targets[seat.uid] and seat.heard == seat.serial:
                granted[seat.uid] = targets[seat.uid]
    return granted


def _fair(slots: int, seats: list[Seat], tag: str) -> list[int]:
    """Share slots out: a higher priority goes before; among equals everybody gets as many, the oldest first."""
    found: list[int] = []
    for _, group in groupby(seats, key=lambda seat: seat.order[0]):
        shares = _share(slots, [seat.wanted[tag] for seat in group])
        slots -= sum(shares)
        found += shares
    return found


def _share(slots: int, wanted: list[int]) -> list[int]:
    shares = [0] * len(wanted)
    unmet = [i for i, want in enumerate(wanted) if want > 0]
    while slots and unmet:
        share = max(1, slots // len(unmet))
        for i in unmet:
            more = min(share, wanted[i] - shares[i], slots)
            shares[i] += more
            slots -= more
        unmet = [i for i in unmet if shares[i] < wanted[i]]
    return shares
