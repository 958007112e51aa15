"""A drawing as SVG: one text that stands alone, for a file, a notebook or a page, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from headwater.visualize.colors import fill_and_ink
from headwater.visualize.curves import head, line, number
from headwater.visualize.drawing import Drawing, Kind, Node
from headwater.visualize.layout import Box, Layout, Point, lay_out
from headwater.visualize.ranks import Link, Size
from headwater.visualize.text import one_line, printable, text_width

# Sizes of text in pixels, and how many columns of it are shown; all of it is in the tooltip.
NAME_SIZE, NOTE_SIZE, LABEL_SIZE = 13, 11, 11
NAME_COLUMNS, NOTE_COLUMNS, LABEL_COLUMNS = 36, 48, 24
LINE_HEIGHT, PADDING, LEAST_WIDTH = 17.0, 12.0, 56.0
# A mapped task without children to show is two boxes, one behind the other; by how much that one looks out.
STACK = 4.0
# How high the bar is that shares a box out to the states of its children, and how wide at least each share.
BAR, LEAST_SHARE = 4.0, 4.0

_LIGHT = {"paper": "#ffffff", "box": "#f1f4f8", "ink": "#1b2026", "line": "#5b6470"}
_DARK = {"paper": "#14181d", "box": "#262c35", "ink": "#e8ebef", "line": "#98a2ae"}
_VARIABLES = {name: f"var(--headwater-{name})" for name in _LIGHT}


def _paint(color: Mapping[str, str]) -> str:
    """Return the rules about colours. In a notebook they hold for the whole document, so each begins with our class."""
    return f"""
.headwater-flow text{{fill:{color["ink"]}}}
.headwater-flow .paper{{fill:{color["paper"]}}}
.headwater-flow .box{{fill:{color["box"]};stroke:{color["line"]}}}
.headwater-flow .arrow{{stroke:{color["line"]}}}
.headwater-flow .head{{fill:{color["line"]}}}
"""


def _set(colors: Mapping[str, str]) -> str:
    return ".headwater-flow{" + ";".join(f"--headwater-{name}:{value}" for name, value in colors.items()) + "}"


# Converters that know no variables pass over what is for screens; what they make, and what is printed, is light.
STYLE = f"""
.headwater-flow{{font-family:system-ui,"Segoe UI",Helvetica,Arial,sans-serif}}
.headwater-flow text{{text-anchor:middle}}
.headwater-flow .name{{font-size:{NAME_SIZE}px}}
.headwater-flow .note{{font-size:{NOTE_SIZE}px}}
.headwater-flow .label{{font-size:{LABEL_SIZE}px}}
.headwater-flow .arrow{{fill:none;stroke-width:1.3}}
.headwater-flow .dashed{{stroke-dasharray:5 3}}
{_paint(_LIGHT)}
@media screen{{{_set(_LIGHT)}{_paint(_VARIABLES)}}}
@media screen and (prefers-color-scheme:dark){{{_set(_DARK)}}}
"""


def write_svg(drawing: Drawing, *, horizontal: bool = False) -> str:
    """Return a well-formed SVG document without a declaration, so that it can stand inside HTML."""
    labels = [one_line(arrow.label, LABEL_COLUMNS) if arrow.label else "" for arrow in drawing.arrows]
    sizes = [_along(_node_size(node), horizontal) for node in drawing.nodes]
    links = [
        Link(arrow.upstream, arrow.downstream, _along(_label_size(label), horizontal) if label else None)
        for arrow, label in zip(drawing.arrows, labels, strict=True)
    ]
    layout = lay_out(sizes, links, horizontal=horizontal)
    return "\n".join(_document(drawing, labels, layout)) + "\n"


def _along(size: Size, horizontal: bool) -> Size:
    return Size(size.depth, size.breadth) if horizontal else size


def _node_size(node: Node) -> Size:
    name, note = _texts(node)
    widest = max(text_width(name, NAME_SIZE), text_width(note, NOTE_SIZE), LEAST_WIDTH - 2 * PADDING)
    height = (2 if note else 1) * LINE_HEIGHT + PADDING
    # The round ends of a parameter take more of its width.
    return Size(widest + 2 * PADDING + (height / 3 if node.kind is Kind.PARAMETER else 0), height)


def _label_size(label: str) -> Size:
    return Size(text_width(label, LABEL_SIZE) + 6, LABEL_SIZE + 5)


def _texts(node: Node) -> tuple[str, str]:
    return one_line(node.name, NAME_COLUMNS) + node.suffix, one_line(node.note, NOTE_COLUMNS) if node.note else ""


def _document(drawing: Drawing, labels: Sequence[str], layout: Layout) -> Iterator[str]:
    width, height = number(layout.width), number(layout.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="headwater-flow" role="img" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    )
    yield f"<title>{_text(drawing.title)}</title>"
    yield f"<desc>A flow: {len(drawing.nodes)} boxes, {len(drawing.arrows)} arrows.</desc>"
    yield f"<style>{STYLE}</style>"
    yield f'<rect class="paper" width="{width}" height="{height}" rx="8"/>'
    for arrow, route in zip(drawing.arrows, layout.routes, strict=True):
        yield f'<path class="arrow{" dashed" if arrow.mapped else ""}" d="{line(route, layout.horizontal)}"/>'
        yield f'<path class="head" d="{head(route, layout.horizontal)}"/>'
    for label, route in zip(labels, layout.routes, strict=True):
        if label and route.label:
            yield from _label(label, route.label)
    for node, box in zip(drawing.nodes, layout.boxes, strict=True):
        yield from _node(node, box)
    yield "</svg>"


def _node(node: Node, box: Box) -> Iterator[str]:
    name, note = _texts(node)
    fill, ink = fill_and_ink(node.color) if node.color else ("", "")
    style = f' style="fill:{fill}"' if fill else ""
    radius = {Kind.PARAMETER: box.height / 2, Kind.TASK: 6.0, Kind.MAPPED: 0.0}[node.kind]
    yield f'<g class="node {node.kind}"><title>{_text(node.details)}</title>'
    if node.kind is Kind.MAPPED and node.suffix == " <map>":
        behind = Box(box.x + STACK, box.y + STACK, box.width, box.height)
        yield f'<rect class="box" {_rectangle(behind)}{style}/>'
    yield f'<rect class="box" {_rectangle(box)} rx="{number(radius)}"{style}/>'
    yield from _bar(node, box)
    x, y = box.x + box.width / 2, box.y + box.height / 2
    yield _written(name, "name", Point(x, y - (LINE_HEIGHT / 2 if note else 0)), NAME_SIZE, ink)
    if note:
        yield _written(note, "note", Point(x, y + LINE_HEIGHT / 2), NOTE_SIZE, ink)
    yield "</g>"


def _bar(node: Node, box: Box) -> Iterator[str]:
    """Yield a part per state of the children: one that failed among thousands is seen."""
    if len(node.shares) < 2:
        return
    total = sum(count for _, count in node.shares)
    room, x = box.width - LEAST_SHARE * len(node.shares), box.x
    for color, count in node.shares:
        part = Box(x, box.y + box.height - BAR, LEAST_SHARE + room * count / total, BAR)
        yield f'<rect {_rectangle(part)} style="fill:{fill_and_ink(color)[0]}"/>'
        x += part.width


def _label(label: str, middle: Point) -> Iterator[str]:
    size = _label_size(label)
    behind = Box(middle.x - size.breadth / 2, middle.y - size.depth / 2, size.breadth, size.depth)
    yield f'<rect class="paper" {_rectangle(behind)}/>'
    yield _written(label, "label", middle, LABEL_SIZE)


def _written(text: str, kind: str, middle: Point, size: float, ink: str = "") -> str:
    style = f' style="fill:{ink}"' if ink else ""
    # Not every viewer can centre a text on a line; this is the middle of small letters in most fonts.
    x, y = number(middle.x), number(middle.y + size * 0.35)
    return f'<text class="{kind}" x="{x}" y="{y}"{style}>{_text(text)}</text>'


def _rectangle(box: Box) -> str:
    x, y, width, height = map(number, box)
    return f'x="{x}" y="{y}" width="{width}" height="{height}"'


def _text(text: str) -> str:
    return escape(printable(text))
