"""Where the boxes, links and labels of a drawing go: layers from top to bottom, or from left to right.

Ranks, then the order in each rank, then places along it, then the ways of the links. Nothing here knows what is
drawn, or how. The same input gives the same layout. Inside, x runs along a rank and y from rank to rank;
`horizontal` turns this at the very end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headwater.visualize.place import place
from headwater.visualize.ranks import Link, Ranks, Size, rank

MARGIN = 16.0
# Between ranks, and between a rank of boxes and one of labels.
FAR, NEAR = 48.0, 24.0
# A rank of labels as deep as this is passed in a curve, a deeper one straight.
THIN = 20.0
# How far apart links leave and enter a box, and how near to its corners.
PORT_GAP, CORNER = 14.0, 10.0


class Point(NamedTuple):
    x: float
    y: float


class Box(NamedTuple):
    """A rectangle by its top left corner."""

    x: float
    y: float
    width: float
    height: float


class Route(NamedTuple):
    """The way of a link: straight runs, to be joined by curves; *label* is the middle of its label.

    It begins at the box, or on the way of another link from there. A run that passes nothing is a point.
    """

    runs: tuple[tuple[Point, Point], ...]
    label: Point | None


class Layout(NamedTuple):
    """Boxes and routes in the order of what was given; all inside of (0, 0) and (width, height)."""

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    width: float
    height: float
    horizontal: bool


class _Band(NamedTuple):
    """The room of a rank, from *top* to *bottom*."""

    top: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def lay_out(sizes: Sequence[Size], links: Sequence[Link], *, horizontal: bool = False) -> Layout:
    """Place boxes of these sizes so that none overlap and each link leads to a later rank.

    The links, from box to box by their numbers, make no cycle.
    """
    ranks = rank(sizes, links)
    xs = place(ranks)
    bands = _bands(ranks)
    boxes = [_box(xs[i], bands[ranks.ranks[i]].middle, sizes[i]) for i in range(len(sizes))]
    routes = _routes(ranks, links, xs, bands, boxes)
    boxes, routes, width, height = _into_view(boxes, routes, links)
    if horizontal:
        boxes = [Box(y, x, depth, breadth) for x, y, breadth, depth in boxes]
        routes = [_turned(route) for route in routes]
        width, height = height, width
    return Layout(tuple(boxes), tuple(routes), width, height, horizontal)


def _bands(ranks: Ranks) -> list[_Band]:
    gap = NEAR if ranks.labels else FAR
    bands: list[_Band] = []
    for row in ranks.rows():
        top = bands[-1].bottom + gap if bands else 0.0
        bands.append(_Band(top, top + max((ranks.sizes[item].depth for item in row), default=0.0)))
    return bands


def _box(x: float, y: float, size: Size) -> Box:
    return Box(x - size.breadth / 2, y - size.depth / 2, size.breadth, size.depth)


def _routes(
    ranks: Ranks, links: Sequence[Link], xs: Sequence[float], bands: Sequence[_Band], boxes: Sequence[Box]
) -> list[Route]:
    leaving = _ports({(route[0], route[1]) for route in ranks.routes if route[0] < len(boxes)}, xs, boxes)
    entering = _ports({(route[-1], route[-2]) for route in ranks.routes}, xs, boxes)
    bends = {item: _bend(item, ranks, xs, bands) for item in range(len(boxes), len(xs))}
    routes = []
    for number, items in enumerate(ranks.routes):
        first, last = items[0], items[-1]
        runs = [bends[item] for item in items[1:-1]]
        if first < len(boxes):
            x, box = leaving[first, items[1]], boxes[first]
            runs.insert(0, (Point(x, box.y + box.height), Point(x, bands[ranks.ranks[first]].bottom)))
        else:
            runs.insert(0, (bends[first][1], bends[first][1]))
        x = entering[last, items[-2]]
        runs.append((Point(x, bands[ranks.ranks[last]].top), Point(x, boxes[last].y)))
        routes.append(Route(tuple(runs), _label(links[number], ranks.labels.get(number), runs, xs, bands, ranks)))
    return routes


def _bend(item: int, ranks: Ranks, xs: Sequence[float], bands: Sequence[_Band]) -> tuple[Point, Point]:
    band = bands[ranks.ranks[item]]
    if ranks.labels and ranks.ranks[item] % 2 and band.bottom - band.top <= THIN:
        return Point(xs[item], band.middle), Point(xs[item], band.middle)
    return Point(xs[item], band.top), Point(xs[item], band.bottom)


def _label(
    link: Link,
    item: int | None,
    runs: Sequence[tuple[Point, Point]],
    xs: Sequence[float],
    bands: Sequence[_Band],
    ranks: Ranks,
) -> Point | None:
    if link.label is None:
        return None
    if item is not None:
        return Point(xs[item], bands[ranks.ranks[item]].middle)
    (x1, y1), (x2, y2) = runs[-2][1], runs[-1][0]
    return Point((x1 + x2) / 2, (y1 + y2) / 2)


def _ports(ends: set[tuple[int, int]], xs: Sequence[float], boxes: Sequence[Box]) -> Mapping[tuple[int, int], float]:
    """Spread the links of each box over its edge, in the order of where they lead: (box, next item) -> x."""
    others: dict[int, list[int]] = defaultdict(list)
    for box, other in ends:
        others[box].append(other)
    ports = {}
    for box, nexts in others.items():
        nexts.sort(key=lambda item: (xs[item], item))
        room = max(0.0, boxes[box].width - 2 * CORNER)
        gap = min(PORT_GAP, room / max(1, len(nexts) - 1))
        for i, other in enumerate(nexts):
            ports[box, other] = xs[box] + gap * (i - (len(nexts) - 1) / 2)
    return ports


def _into_view(
    boxes: Sequence[Box], routes: Sequence[Route], links: Sequence[Link]
) -> tuple[list[Box], list[Route], float, float]:
    """Move everything so that it begins at the margin; return it with the size of the whole."""
    areas = [*boxes]
    for route, link in zip(routes, links, strict=True):
        areas += [Box(x, y, 0, 0) for run in route.runs for x, y in run]
        if route.label and link.label:
            areas.append(_box(*route.label, link.label))
    left = min((area.x for area in areas), default=0.0) - MARGIN
    top = min((area.y for area in areas), default=0.0) - MARGIN
    width = max((area.x + area.width for area in areas), default=0.0) + MARGIN - left
    height = max((area.y + area.height for area in areas), default=0.0) + MARGIN - top

    def moved(point: Point) -> Point:
        return Point(point.x - left, point.y - top)

    return (
        [Box(box.x - left, box.y - top, box.width, box.height) for box in boxes],
        [
            Route(tuple((moved(a), moved(b)) for a, b in route.runs), route.label and moved(route.label))
            for route in routes
        ],
        width,
        height,
    )


def _turned(route: Route) -> Route:
    return Route(
        tuple((Point(a.y, a.x), Point(b.y, b.x)) for a, b in route.runs),
        route.label and Point(route.label.y, route.label.x),
    )
