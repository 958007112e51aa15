"""Results that travel with whoever reads them: small ones, and the addresses of stored ones."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Stored:
    """A result that an earlier run stored. It is a ref; who reads it reads the store."""

    url: str
    serializer: str

    def load(self) -> Any:
        """Raises what the store says when it is not there any more."""
        from headwater.results.address import Address, read_address

        return read_address(Address(self.url, self.serializer))


def loaded(ref: Any) -> Any:
    """Return what a ref stands for, if that is with it."""
    return ref.load() if isinstance(ref, Inline | Stored) else ref
