"""Ranks of a drawing: which box stands in which row, and where links pass the rows between.

    rank 0    a        p        boxes
    rank 1   [x]       .        labels of links, in ranks of their own when there are any
    rank 2    b        .        a link that goes further bends at an item without size
    rank 3             [y]
    rank 4             c

Everything in a rank is an item. The boxes are the first items, in their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

# Past this many, long links go straight to their end, behind whatever stands in their way, and labels get no room.
MOST_BENDS = 20_000
# Boxes without links fill rows of at least this many.
MIN_ROW = 6


class Size(NamedTuple):
    """How much room something takes: *breadth* along its rank, *depth* from rank to rank."""

    breadth: float
    depth: float


NO_SIZE = Size(0.0, 0.0)


class Link(NamedTuple):
    upstream: int
    downstream: int
    label: Size | None = None


@dataclass
class Ranks:
    """Items, by number, the *boxes* first: their sizes, their ranks, and the neighbours one rank up and one rank down.

    A route is the items that a link passes, to its box at the end; `labels` says which of them is for its label.
    Links from one box share their way, its trunk, as far as they can, so that a parameter that all tasks take is one
    line: a route begins at the box, or where the link leaves the routes of those before it.
    """

    boxes: int
    sizes: list[Size]
    ranks: list[int]
    up: list[list[int]] = field(default_factory=list)
    down: list[list[int]] = field(default_factory=list)
    routes: list[list[int]] = field(default_factory=list)
    labels: dict[int, int] = field(default_factory=dict)
    joined: set[tuple[int, int]] = field(default_factory=set)

    def add(self, size: Size, rank: int) -> int:
        self.sizes.append(size)
        self.ranks.append(rank)
        self.up.append([])
        self.down.append([])
        return len(self.sizes) - 1

    def join(self, upper: int, lower: int) -> None:
        """Make neighbours of two items, once; of those that are further apart, no neighbours."""
        if self.ranks[upper] + 1 == self.ranks[lower] and (upper, lower) not in self.joined:
            self.joined.add((upper, lower))
            self.down[upper].append(lower)
            self.up[lower].append(upper)

    def rows(self) -> list[list[int]]:
        rows: list[list[int]] = [[] for _ in range(max(self.ranks, default=-1) + 1)]
        for item, rank in enumerate(self.ranks):
            rows[rank].append(item)
        return rows

    def islands(self) -> list[list[int]]:
        """Return the items in groups between which there are no links; all that stand alone are the last group."""
        groups, alone, seen = [], [], [False] * len(self.ranks)
        for item in range(len(self.ranks)):
            group = [] if seen[item] else [item]
            seen[item] = True
            for member in group:  # grows while it is read
                for other in (*self.up[member], *self.down[member]):
                    if not seen[other]:
                        seen[other] = True
                        group.append(other)
            if len(group) == 1:
                alone += group
            elif group:
                groups.append(sorted(group))
        return [*groups, alone] if alone else groups


def rank(sizes: Sequence[Size], links: Sequence[Link]) -> Ranks:
    """Give each box and each bend a rank. The links make no cycle; each goes to a higher rank than it comes from."""
    roomy = any(link.label for link in links) and len(links) <= MOST_BENDS
    step = 2 if roomy else 1
    found = Ranks(len(sizes), list(sizes), [step * depth for depth in _depths(len(sizes), links)])
    found.up, found.down = [[] for _ in sizes], [[] for _ in sizes]
    longest = _longest_bent(found.ranks, links)
    trunks = [[box] for box in range(len(sizes))]
    for number, link in enumerate(links):
        start, end = found.ranks[link.upstream], found.ranks[link.downstream]
        if end - start > longest:
            found.routes.append([link.upstream, link.downstream])
            continue
        route = _along(trunks[link.upstream], end - start - step, found)
        if roomy:
            route.append(found.add(link.label or NO_SIZE, end - 1))
            found.labels[number] = route[-1]
        route.append(link.downstream)
        for upper, lower in pairwise(route):
            found.join(upper, lower)
        found.routes.append(route)
    return found


def _along(trunk: list[int], last: int, ranks: Ranks) -> list[int]:
    """Return the part of a box's trunk, up to its item *last*, that no link has gone along yet; let it grow to there.

    The part begins with the item at which the link leaves the others.
    """
    begin = min(last, len(trunk) - 1)
    while len(trunk) <= last:
        trunk.append(ranks.add(NO_SIZE, ranks.ranks[trunk[-1]] + 1))
    return trunk[begin : last + 1]


def _depths(count: int, links: Iterable[Link]) -> list[int]:
    """Return the longest way to each box, with roots moved down to just above what follows them."""
    below: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for link in links:
        below[link.upstream].append(link.downstream)
        waiting[link.downstream] += 1
    roots = [box for box in range(count) if not waiting[box]]
    depths = [0] * count
    ready = list(roots)
    for box in ready:  # grows while it is read
        for lower in below[box]:
            depths[lower] = max(depths[lower], depths[box] + 1)
            waiting[lower] -= 1
            if not waiting[lower]:
                ready.append(lower)
    for root in roots:
        depths[root] = min((depths[lower] for lower in below[root]), default=1) - 1
    alone = [root for root in roots if not below[root]]
    row = max(MIN_ROW, math.isqrt(len(alone)))
    for place, root in enumerate(alone):
        depths[root] = place // row
    return depths


def _longest_bent(ranks: Sequence[int], links: Iterable[Link]) -> int:
    """Return how many ranks a link may span to get bends, so that there are not too many of them."""
    spans: dict[int, set[int]] = {}
    for link in links:
        spans.setdefault(link.upstream, set()).add(ranks[link.downstream] - ranks[link.upstream])
    longest = max(map(max, spans.values()), default=0)
    while longest > 2:
        bends = sum(max((span for span in each if span <= longest), default=1) - 1 for each in spans.values())
        if bends <= MOST_BENDS:
            break
        longest = max(2, longest * 2 // 3)
    return longest
