"""Coordinates along the ranks: items stand near their neighbours, in their order, and never over each other."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.visualize.order import order
from headwater.visualize.ranks import Ranks

GAP = 22.0
# Work is bounded: large drawings get fewer rounds.
ROUNDS, MOST_WORK = 12, 100_000
# What has nothing to stand near makes room; long links stay straight before boxes are centred.
ALONE, BOX, BEND = 0.01, 1.0, 4.0


def place(ranks: Ranks) -> list[float]:
    """Return the x of the middle of each item; what no link joins stands side by side.

    Goes down and up the ranks, where each item wants to be in the middle of its neighbours in the
    rank before, then of those on both sides. In the end chains are drawn straight.
    """
    xs = [0.0] * len(ranks.sizes)
    up, down = _guides(ranks.up, ranks), _guides(ranks.down, ranks)
    around: list[Sequence[int]] = [(*above, *below) for above, below in zip(up, down, strict=True)]
    falling, rising = _in_line(ranks.up, ranks.down, ranks), _in_line(ranks.down, ranks.up, ranks)
    left = 0.0
    for island in ranks.islands():
        rows = order(island, ranks)
        rounds = max(2, min(ROUNDS, MOST_WORK // len(island)))
        passes = [*[(up, down)] * rounds, (around, around), (falling, rising)]
        for downward, upward in passes:
            for row in rows:
                _settle(row, ranks, downward, xs)
            for row in reversed(rows):
                _settle(row, ranks, upward, xs)
        left = _move(island, ranks, xs, left) + GAP
    return xs


def _guides(near: Sequence[Sequence[int]], ranks: Ranks) -> list[Sequence[int]]:
    """Return which neighbours each item follows: bends that make up a line follow each other."""
    return [
        [other for other in others if _is_bend(other, ranks)] or others if _is_bend(item, ranks) else others
        for item, others in enumerate(near)
    ]


def _in_line(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]], ranks: Ranks) -> list[Sequence[int]]:
    """Return what each item stands under at last: its only neighbour in a plain chain, and itself elsewhere."""
    guides: list[Sequence[int]] = []
    for item, near in enumerate(before):
        plain = len(near) == 1 == len(after[near[0]]) and len(after[item]) <= 1
        if item >= ranks.boxes:  # a link between two chains is part of both
            plain = plain and all(len(before[other]) == 1 for other in after[item])
        guides.append(near if plain else (item,))
    return guides


def _is_bend(item: int, ranks: Ranks) -> bool:
    return item >= ranks.boxes and not ranks.sizes[item].breadth


def _move(items: Sequence[int], ranks: Ranks, xs: list[float], left: float) -> float:
    """Move items so that they begin at *left*; return where they end."""
    shift = left - min(xs[item] - ranks.sizes[item].breadth / 2 for item in items)
    for item in items:
        xs[item] += shift
    return max(xs[item] + ranks.sizes[item].breadth / 2 for item in items)


def _settle(row: Sequence[int], ranks: Ranks, near: Sequence[Sequence[int]], xs: list[float]) -> None:
    """Move the items of a rank to where they want to be, or as near as their order and sizes allow."""
    wanted, weights, offsets, offset = [], [], [], 0.0
    for i, item in enumerate(row):
        others, breadth = near[item], ranks.sizes[item].breadth
        if i:
            offset += (ranks.sizes[row[i - 1]].breadth + breadth) / 2 + GAP
        offsets.append(offset)
        wanted.append((sum(xs[other] for other in others) / len(others) if others else xs[item]) - offset)
        weights.append(ALONE if not others else BEND if _is_bend(item, ranks) else BOX)
    for item, x, offset in zip(row, _never_falling(wanted, weights), offsets, strict=True):
        xs[item] = x + offset


def _never_falling(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the numbers nearest to these, by weighted least squares, of which none is less than the one before."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for mean, weight in zip(wanted, weights, strict=True):
        count = 1
        while blocks and blocks[-1][0] > mean:
            other, other_weight, other_count = blocks.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, count = weight + other_weight, count + other_count
        blocks.append((mean, weight, count))
    return [mean for mean, _, count in blocks for _ in range(count)]
