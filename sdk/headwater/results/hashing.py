"""Hashes of arguments by their content, the same in every process.

Plain data is hashed by its value, the order of a dict or set aside, and by its type: [1], (1,), [1.0] and [True] are
four things. Everything else is hashed by its pickle, which names the functions and classes of a module and does not
hold their code. Equal objects may pickle differently, such as those of classes made inside functions: a cache then
misses, which costs a run and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headwater.core.errors import FlowError

_PROTOCOL = 5


class HashError(FlowError):
    """An argument cannot be hashed, so nothing can be cached for it."""


class Hashed(Mapping[str, Any]):
    """Arguments by name, and their hashes: each is made once, when first asked for, and stays."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self._hashes: dict[str, str] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def hash_of(self, name: str) -> str:
        if name not in self._hashes:
            self._hashes[name] = _hash_argument(name, self._values[name])
        return self._hashes[name]


def hash_inputs(arguments: Mapping[str, Any], names: Iterable[str] | None = None) -> dict[str, str]:
    """Return the hash of each argument, or of those named. Raises HashError that names the one that has none."""
    hashed = arguments if isinstance(arguments, Hashed) else Hashed(arguments)
    return {name: hashed.hash_of(name) for name in sorted(hashed if names is None else names)}


def hash_what_can_be(arguments: Hashed) -> dict[str, str]:
    """Return the hash of each argument that has one."""
    found = {}
    for name in sorted(arguments):
        try:
            found[name] = arguments.hash_of(name)
        except HashError:
            continue
    return found


def digest(value: Any) -> str:
    """Return the hash of one value, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(_canonical(value)).encode()).hexdigest()


def _hash_argument(name: str, value: Any) -> str:
    try:
        return digest(value)
    except Exception as error:
        raise HashError(
            f'The argument "{name}" of type {type(value).__name__} cannot be hashed for the cache '
            f"({type(error).__name__}: {error}); leave it out of the comparison with "
            "cache_validator=partial_inputs_only(validate_on=[...]), or cache nothing."
        ) from error


def _canonical(value: Any) -> Any:
    """Return JSON that is the same for the same value only: scalars as they are, all else as [kind, content]."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return [kind.__name__, [_canonical(item) for item in value]]
    if kind in (set, frozenset):
        return [kind.__name__, sorted(json.dumps(_canonical(item)) for item in value)]
    if kind is dict:
        return ["dict", sorted([json.dumps(_canonical(key)), _canonical(item)] for key, item in value.items())]
    data = value if kind is bytes else _pickled(value)
    return [f"{kind.__module__}.{kind.__qualname__}", hashlib.sha256(data).hexdigest()]


def _pickled(value: Any) -> bytes:
    try:
        # Names a class where cloudpickle may copy it, and its copies differ between processes.
        return pickle.dumps(value, _PROTOCOL)
    except Exception:
        import cloudpickle

        return bytes(cloudpickle.dumps(value, _PROTOCOL))
