"""Parameters as they are typed on a command line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headwater.core.errors import ParameterError


def read_parameters(path: Path) -> dict[str, Any]:
    """Read a file of parameters by name, JSON or YAML. Raises ParameterError when it holds something else."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"--param-file {path}: it cannot be read ({error}).") from None
    try:
        values = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except ValueError as error:
        raise ParameterError(f"--param-file {path}: it cannot be understood ({error}).") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ParameterError(f'--param-file {path}: it must hold names with values, such as {{"airport": "ZRH"}}.')
    return values


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


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
