"""Which values a resource can carry as parameters. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from headwater.core.errors import ParameterError

# What an API server keeps as it is; what is beyond becomes a float there.
LEAST, MOST = -(2**63), 2**63 - 1
_HALF = re.compile("[\ud800-\udfff]")


def check_values(values: Mapping[str, Any]) -> None:
    """Raise ParameterError for a value that would not arrive, or not as it is."""
    for name, value in values.items():
        problem = _text_problem(name) or _problem(value)
        if problem is not None:
            raise ParameterError(f'parameter "{name}" {problem}.')


def _problem(value: Any) -> str | None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"cannot be written as JSON ({error})"
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list | tuple):
            waiting += each
        elif isinstance(each, int) and not LEAST <= each <= MOST:
            return f"has {each}, which a cluster rounds, as it is beyond 64 bits; give it as a text"
        elif isinstance(each, str) and (problem := _text_problem(each)) is not None:
            return problem
    return None


def _text_problem(text: str) -> str | None:
    half = _HALF.search(text)
    return None if half is None else f"has half a character (\\u{ord(half[0]):04x}), which cannot be sent"
