"""Small results that travel with whoever reads them."""

from __future__ import annotations

import pickle
from typing import Any


class Inline:
    """A small result, pickled. It is a ref: the engine hands it on, and only who reads it unpickles it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def load(self) -> Any:
        return pickle.loads(self.data)

    def __reduce__(self) -> Any:
        return Inline, (self.data,)


def loaded(ref: Any) -> Any:
    """Return what a ref stands for, if that is with it."""
    return ref.load() if isinstance(ref, Inline) else ref
