"""Text for drawings: any name made printable, short, and measured without a font at hand."""

from __future__ import annotations

import re
import unicodedata

# What XML 1.0 cannot hold, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")

# Widths in parts of the font size. They lean to the wide side, for every viewer has another font.
_NARROW, _WIDE, _CAPITAL, _OTHER, _FULL = 0.4, 0.95, 0.72, 0.62, 1.05


def printable(text: str) -> str:
    """Return a text with a replacement mark for each character that no XML document can hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def one_line(text: str, columns: int) -> str:
    """Return a text on one line, cut at the end when it takes more columns."""
    line = printable(_SPACES.sub(" ", text[: columns * 20])).strip() or "\u00a0"
    if len(line) == len(text) <= columns and line.isascii():
        return line
    used = 0
    for i, character in enumerate(line):
        used += _columns(character)
        if used > columns:
            return _whole(line[:i]) + "…"
    return line if len(text) <= columns * 20 else _whole(line) + "…"


def text_width(text: str, size: float) -> float:
    """Estimate how wide a text is drawn, on the safe side."""
    return size * sum(map(_em, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _em(character: str) -> float:
    if character.isascii():
        if character in " .,:;'|!()[]fijlrtI-/\\":
            return _NARROW
        if character in "mwMW@%":
            return _WIDE
        return _CAPITAL if character.isupper() else _OTHER
    columns = _columns(character)
    return _FULL if columns == 2 else _CAPITAL * columns


def _whole(text: str) -> str:
    """Drop the end of a cut text that belongs to what was cut: a space, a joiner."""
    return text.rstrip(" \u200d")
