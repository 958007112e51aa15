"""Small results that travel with whoever reads them."""

from __future__ import annotations

import pickle
from typing import Any


class Inline(bytes):
    """A small result, pickled. It is a ref: the engine hands it on, and only who reads it unpickles it.

    Bytes, as there may be a million: they need no room for a second object, and the garbage collector passes them by.
    """

    __slots__ = ()

    def load(self) -> Any:
        return pickle.loads(self)

    def __reduce__(self) -> Any:
        return Inline, (bytes(self),)


def loaded(ref: Any) -> Any:
    """Return what a ref stands for, if that is with it."""
    return ref.load() if isinstance(ref, Inline) else ref
