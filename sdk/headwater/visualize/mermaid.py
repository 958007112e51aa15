"""A drawing as a Mermaid flowchart: a text that GitHub, GitLab and many wikis draw.

Mermaid itself draws no more than 500 arrows and 50,000 characters unless its page is set up for more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from headwater.visualize.colors import fill_and_ink
from headwater.visualize.drawing import Arrow, Drawing, Kind, Node
from headwater.visualize.text import one_line

NAME_COLUMNS, NOTE_COLUMNS, LABEL_COLUMNS, TITLE_COLUMNS = 36, 48, 24, 80
SHAPES = {Kind.TASK: ('["', '"]'), Kind.PARAMETER: ('(["', '"])'), Kind.MAPPED: ('[["', '"]]')}
_NAMED = {'"': "quot", "<": "lt", ">": "gt", "&": "amp"}
# Letters and figures stay, and these marks inside of a word: at its edge they can be Markdown.
_MARKS = re.compile(r"((?<=[A-Za-z0-9])[_.-](?=[A-Za-z0-9]))|[\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]")


def write_mermaid(drawing: Drawing, *, horizontal: bool = False) -> str:
    """Return the source of a flowchart, whose nodes are n0, n1 and so on in the order of the drawing."""
    return "\n".join(_lines(drawing, horizontal)) + "\n"


def _lines(drawing: Drawing, horizontal: bool) -> Iterator[str]:
    # A JSON text is a YAML text.
    title = json.dumps(one_line(drawing.title, TITLE_COLUMNS), ensure_ascii=False)
    yield from ("---", f"title: {title}", "---", f"flowchart {'LR' if horizontal else 'TD'}")
    colors = {color: f"state{i}" for i, color in enumerate(dict.fromkeys(n.color for n in drawing.nodes if n.color))}
    for i, node in enumerate(drawing.nodes):
        yield f"    n{i}{_shape(node)}" + (f":::{colors[node.color]}" if node.color else "")
    for arrow in drawing.arrows:
        yield f"    {_link(arrow)}"
    for color, name in colors.items():
        fill, ink = fill_and_ink(color)
        yield f"    classDef {name} fill:{fill},color:{ink}"


def _shape(node: Node) -> str:
    begin, end = SHAPES[node.kind]
    note = f"<br/>{_escaped(one_line(node.note, NOTE_COLUMNS))}" if node.note else ""
    return f"{begin}{_escaped(one_line(node.name, NAME_COLUMNS) + node.suffix)}{note}{end}"


def _link(arrow: Arrow) -> str:
    line = "-.->" if arrow.mapped else "-->"
    label = f'|"{_escaped(one_line(arrow.label, LABEL_COLUMNS))}"|' if arrow.label else ""
    return f"n{arrow.upstream} {line}{label} n{arrow.downstream}"


def _escaped(text: str) -> str:
    """Write what has a meaning in Mermaid, in HTML or in Markdown as Mermaid's entities."""
    return _MARKS.sub(lambda found: found[1] or f"#{_NAMED.get(found[0], ord(found[0]))};", text)
