"""The way of a link as the path of an SVG: straight runs joined by curves without a kink."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from headwater.visualize.layout import Point, Route

HEAD = 8.0
# How far a curve follows its direction at each end, in parts of the way.
STIFFNESS = 0.45


def line(route: Route, horizontal: bool) -> str:
    """Return a path that leaves and enters the boxes at a right angle, and ends in the head of the arrow."""
    runs = [(_turned(start, horizontal), _turned(end, horizontal)) for start, end in route.runs]
    runs[-1] = (_before(runs[-1][0]), _before(runs[-1][1]))
    slopes = _slopes(runs)
    parts = [f"M{_written(runs[0][0], horizontal)}"]
    for i, ((start, end), (stop, _)) in enumerate(pairwise(runs)):
        reach = STIFFNESS * (stop.y - end.y)
        bends = (
            Point(end.x + slopes[i] * reach, end.y + reach),
            Point(stop.x - slopes[i + 1] * reach, stop.y - reach),
            stop,
        )
        if start != end:
            parts.append(f"L{_written(end, horizontal)}")
        parts.append("C" + " ".join(_written(point, horizontal) for point in bends))
    if runs[-1][0] != runs[-1][1]:
        parts.append(f"L{_written(runs[-1][1], horizontal)}")
    return "".join(parts)


def head(route: Route, horizontal: bool) -> str:
    """Return the path of the triangle at the end."""
    wings = f"l{-HEAD:g} -4v8z" if horizontal else f"l-4 {-HEAD:g}h8z"
    return f"M{_written(route.runs[-1][1], False)}{wings}"


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _slopes(runs: Sequence[tuple[Point, Point]]) -> list[float]:
    """Return the direction at each run, as x per y: straight on where there is something to pass.

    At a point it is the harmonic mean of the directions before and after, or straight on where they
    turn, so that no curve swings out further than the points it joins.
    """
    ways = [(stop.x - end.x) / (stop.y - end.y) for (_, end), (stop, _) in pairwise(runs)]
    slopes = [0.0] * len(runs)
    for i in range(1, len(runs) - 1):
        before, after = ways[i - 1], ways[i]
        if runs[i][0] == runs[i][1] and before * after > 0:
            slopes[i] = 2 * before * after / (before + after)
    return slopes


def _before(point: Point) -> Point:
    # One pixel into the head, which would show a gap otherwise.
    return Point(point.x, point.y - HEAD + 1)


def _turned(point: Point, horizontal: bool) -> Point:
    return Point(point.y, point.x) if horizontal else point


def _written(point: Point, horizontal: bool) -> str:
    x, y = _turned(point, horizontal)
    return f"{number(x)} {number(y)}"
