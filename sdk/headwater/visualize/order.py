"""The order of the items in each rank: few links cross."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise

from headwater.visualize.ranks import Ranks

# Work is bounded: large drawings get fewer sweeps.
SWEEPS, MOST_WORK = 24, 100_000
SWAPS, MOST_SWAPPED = 4, 1_500


def order(items: Sequence[int], ranks: Ranks) -> list[list[int]]:
    """Return these items, which are neighbours of each other only, as rows: a rank after the other, from first to last.

    Sweeps down and up, each time sorting a rank by the mean place of its neighbours in the rank
    before, swaps what is better the other way round, and keeps the order with the fewest crossings.
    """
    rows = _first_order(items, ranks)
    sweeps = max(2, min(SWEEPS, MOST_WORK // max(1, len(items))))
    best, fewest = rows, _crossings(rows, ranks.down)
    for sweep in range(sweeps):
        if not fewest:
            break
        rows = _sweep(rows, ranks.up) if sweep % 2 == 0 else _sweep(rows[::-1], ranks.down)[::-1]
        if len(items) <= MOST_SWAPPED:
            _swap(rows, ranks)
        crossings = _crossings(rows, ranks.down)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _first_order(items: Sequence[int], ranks: Ranks) -> list[list[int]]:
    """Place items as a walk down from each root meets them, so that what belongs together stands together."""
    rows: dict[int, list[int]] = {rank: [] for rank in sorted({ranks.ranks[item] for item in items})}
    seen: set[int] = set()
    for root in items:
        stack = [root] if not ranks.up[root] else []
        while stack:
            item = stack.pop()
            if item not in seen:
                seen.add(item)
                rows[ranks.ranks[item]].append(item)
                stack.extend(reversed(ranks.down[item]))
    return list(rows.values())


def _sweep(rows: Sequence[Sequence[int]], before: Sequence[Sequence[int]]) -> list[list[int]]:
    swept = [list(rows[0])] if rows else []
    for row in rows[1:]:
        places = {item: place for place, item in enumerate(swept[-1])}
        wanted = {}
        for place, item in enumerate(row):
            neighbours = before[item]
            wanted[item] = sum(places[other] for other in neighbours) / len(neighbours) if neighbours else place
        swept.append(sorted(row, key=wanted.__getitem__))
    return swept


def _swap(rows: Sequence[list[int]], ranks: Ranks) -> None:
    """Swap neighbours in a rank for as long as this takes crossings away, a few times over."""
    places = {item: place for row in rows for place, item in enumerate(row)}
    for _ in range(SWAPS):
        swapped = False
        for row in rows:
            for i in range(len(row) - 1):
                left, right = row[i], row[i + 1]
                if _cross(left, right, ranks, places) > _cross(right, left, ranks, places):
                    row[i], row[i + 1] = right, left
                    places[left], places[right] = i + 1, i
                    swapped = True
        if not swapped:
            return


def _cross(left: int, right: int, ranks: Ranks, places: Mapping[int, int]) -> int:
    """Count the crossings between the links of two neighbours in a rank."""
    crossings = 0
    for near in (ranks.up, ranks.down):
        ends = sorted(places[other] for other in near[right])
        crossings += sum(bisect_left(ends, places[other]) for other in near[left])
    return crossings


def _crossings(rows: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> int:
    """Count the pairs of links between neighbouring ranks that cross."""
    total = 0
    for upper, lower in pairwise(rows):
        places = {item: place for place, item in enumerate(lower)}
        passed: list[int] = []
        for item in upper:
            ends = sorted(places[other] for other in down[item])
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total
