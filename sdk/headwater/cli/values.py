"""Parameters as they are typed on a command line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from headwater.core.errors import ParameterError


def parse_parameters(given: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` pairs: a value that is JSON is read as such (`200`, `true`, `[1, 2]`), any other is text.

    Raises ParameterError for what is no pair, and for a name that is given twice.
    """
    values: dict[str, Any] = {}
    for pair in given:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ParameterError(f"--param {pair}: give a name and a value, such as --param airport=ZRH.")
        if name in values:
            raise ParameterError(f"--param {name} is given twice.")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values
