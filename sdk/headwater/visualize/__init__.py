"""Drawings of flows as SVG and as Mermaid. No other program is needed.

drawing    a flow, and the states of a run, as boxes and arrows
layout     where they go: ranks, order, place
svg        the same, written out; mermaid too, which does its own layout
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from headwater.core.flow import Flow
from headwater.core.states import State
from headwater.visualize.drawing import Drawing, draw
from headwater.visualize.mermaid import write_mermaid
from headwater.visualize.svg import write_svg

__all__ = ["Picture", "to_mermaid", "to_svg", "visualize"]

# How a format's files end; new ones get the first.
ENDINGS = {"svg": (".svg",), "mermaid": (".mmd", ".mermaid")}


class Picture:
    """A flow drawn. A notebook shows it; `str()` of it is the text in its format."""

    def __init__(self, drawing: Drawing, format: str = "svg", horizontal: bool = False) -> None:
        self.drawing = drawing
        self.format = format
        self.horizontal = horizontal

    @cached_property
    def svg(self) -> str:
        return write_svg(self.drawing, horizontal=self.horizontal)

    @cached_property
    def mermaid(self) -> str:
        return write_mermaid(self.drawing, horizontal=self.horizontal)

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg if self.format == "svg" else self.mermaid

    def __repr__(self) -> str:
        drawing = self.drawing
        return f'<Picture of flow "{drawing.title}": {len(drawing.nodes)} boxes, {len(drawing.arrows)} arrows>'


def visualize(
    flow: Flow,
    flow_state: State | None = None,
    filename: str | os.PathLike[str] | None = None,
    format: str | None = None,
    horizontal: bool = False,
) -> Picture:
    """Draw a flow; with the state of a finished run, in the colours of its states.

    *format* is "svg" or "mermaid"; without it the name of the file decides, which ends in .svg or .mmd.
    A name without an ending gets one. *horizontal* draws from left to right.
    Raises ValueError for another format, FileNotFoundError when the folder does not exist, and CycleError.
    """
    path = None if filename is None else _path(filename)
    picture = Picture(draw(flow, flow_state), _format(format, path), horizontal)
    if path is not None:
        _write(path, picture)
    return picture


def to_svg(flow: Flow, flow_state: State | None = None, horizontal: bool = False) -> str:
    return write_svg(draw(flow, flow_state), horizontal=horizontal)


def to_mermaid(flow: Flow, flow_state: State | None = None, horizontal: bool = False) -> str:
    return write_mermaid(draw(flow, flow_state), horizontal=horizontal)


def _path(filename: str | os.PathLike[str]) -> Path:
    if not isinstance(filename, str | os.PathLike):
        raise TypeError(f'A drawing cannot be written to {filename!r}; give the name of a file, such as "flow.svg".')
    path = Path(filename)
    if not path.name:
        raise ValueError(f'A drawing cannot be written to "{filename}"; give the name of a file, such as "flow.svg".')
    return path


def _format(format: str | None, path: Path | None) -> str:
    """Return the format asked for, or that of the file's name, or SVG. Raises ValueError when these do not agree."""
    if format is not None and format not in ENDINGS:
        raise ValueError(f'A flow cannot be drawn in the format {format!r}; use "svg" or "mermaid".')
    if path is None or not path.suffix:
        return format or "svg"
    by_name = next((name for name, endings in ENDINGS.items() if path.suffix.lower() in endings), None)
    if format is None and by_name is None:
        raise ValueError(
            f'The ending of "{path}" is of no format that flows are drawn in; use .svg or .mmd, or say format="svg".'
        )
    if format is not None and by_name not in (None, format):
        raise ValueError(
            f'The ending of "{path}" is that of {by_name} but format is "{format}"; leave one of them out.'
        )
    return format or by_name or "svg"


def _write(path: Path, picture: Picture) -> None:
    file = path if path.suffix else path.with_suffix(ENDINGS[picture.format][0])
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f'The drawing cannot be written to "{file}": there is no folder "{file.parent}"; make it.'
        )
    file.write_text(str(picture), encoding="utf-8", newline="\n")
