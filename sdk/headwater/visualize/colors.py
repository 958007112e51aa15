"""Colours of states on a drawing, and a colour for the text on them that everyone can read."""

from __future__ import annotations

import re

BLACK, WHITE = "#000000", "#ffffff"
# For a state whose class has no colour of this form.
UNKNOWN = "#696969"


def fill_and_ink(color: str) -> tuple[str, str]:
    """Return a fill as #rrggbb and black or white for the text, whichever has the higher contrast by WCAG 2."""
    fill = color.lower() if isinstance(color, str) and re.fullmatch("#[0-9a-fA-F]{6}", color) else UNKNOWN
    return fill, max(BLACK, WHITE, key=lambda ink: contrast(fill, ink))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours by WCAG 2, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
