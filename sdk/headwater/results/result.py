"""Results: a value, the place where it is kept, and how it is written there.

    Result                    a value that is kept nowhere
    ├─ ConstantResult         a value that is known before the flow runs
    ├─ InlineResult           a small value, kept as JSON in the record itself
    └─ places.py              LocalResult, FsspecResult, S3Result: files and objects

A result is a record: its methods return new ones and change nothing. Locations are templates; see format_location.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from headwater.core.errors import FlowError, HeadwaterError
from headwater.results.serializers import JSONSerializer, PickleSerializer, Serializer, SerializerError

if TYPE_CHECKING:
    from headwater.results.store import Store

Location = str | Callable[..., str]

# What an InlineResult may hold: it travels in records that are read often, and kept for long.
INLINE_BYTES = 10_000


class StoreError(HeadwaterError):
    """A store refused, or did not answer, or what it holds cannot be read; running it again may work."""


class MissingError(StoreError):
    """Nothing is stored there."""


class Result:
    """A value with its location and serializer. Subclasses that keep values define `store`."""

    def __init__(
        self, value: Any = None, location: Location | None = None, serializer: Serializer | None = None
    ) -> None:
        if serializer is not None and not isinstance(serializer, Serializer):
            raise FlowError(
                f"{type(self).__name__}: serializer is {serializer!r}; give an object such as JSONSerializer()."
            )
        if location is not None and not isinstance(location, str) and not callable(location):
            raise FlowError(
                f"{type(self).__name__}: location is {location!r}; give a template such as "
                '"{flow_name}/{task_name}/{today}.bin", or a function that returns the location.'
            )
        self.value = value
        self.location = location
        self.serializer = serializer or PickleSerializer()
        self._formatted = False

    def store(self) -> Store:
        """Return the store that keeps the values of this result."""
        raise FlowError(
            f"{type(self).__name__} has no store to keep values in; use LocalResult, S3Result or FsspecResult."
        )

    def read(self, location: str) -> Result:
        """Return a copy with the value that is stored at a location, which is taken as it is.

        Raises MissingError when nothing is there, and StoreError when it cannot be read.
        """
        store = self.store()
        data = store.read_bytes(location)
        try:
            value = self.serializer.deserialize(data)
        except SerializerError as error:
            raise StoreError(f'"{location}" in {store.name} cannot be read: {error}') from error
        return self._at(location, value)

    # Positional-only: what locations are formatted with may itself be called "value" or "location".
    def write(self, value: Any, /, **format_kwargs: Any) -> Result:
        """Store a value at the formatted location; return a copy that holds both.

        Raises SerializerError when the serializer cannot take the value, and StoreError when the store cannot.
        """
        location = self.format(**format_kwargs).final_location()
        self.store().write_bytes(location, self.serializer.serialize(value))
        return self._at(location, value)

    def exists(self, location: Location, /, **format_kwargs: Any) -> bool:
        """Tell whether something is stored at a location, formatted with these values."""
        return self.store().exists(format_location(location, **format_kwargs))

    def format(self, /, **format_kwargs: Any) -> Result:
        """Return a copy whose location is final. One without a location gets a new, unique one."""
        if self._formatted:
            return self.copy()
        return self._at(format_location(self.location, **format_kwargs), self.value)

    def final_location(self) -> str:
        """Return the location of a result that was written, read or formatted."""
        if not self._formatted or not isinstance(self.location, str):
            raise FlowError(f"{self!r} has no final location yet; write a value, or call format().")
        return self.location

    def copy(self) -> Self:
        return copy.copy(self)

    def from_value(self, value: Any) -> Self:
        """Return a copy that holds another value, stored nowhere yet."""
        new = self.copy()
        new.value = value
        return new

    def _at(self, location: str, value: Any) -> Self:
        new = self.from_value(value)
        new.location = location
        new._formatted = True
        return new

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result) or type(self) is not type(other):
            return False
        mine, others = dict(vars(self)), dict(vars(other))
        value, value_of_other = mine.pop("value"), others.pop("value")
        return mine == others and (value is value_of_other or bool(value == value_of_other))

    __hash__ = None  # type: ignore[assignment]  # a result holds a value that need not be hashable

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.location!r}>"


class ConstantResult(Result):
    """A value that the flow's code holds: it is read from there, and never written."""

    def __init__(self, value: Any = None) -> None:
        super().__init__(value)

    def read(self, location: str = "") -> Result:
        return self.copy()

    def write(self, value: Any, /, **format_kwargs: Any) -> Result:
        raise FlowError("A ConstantResult is never written: its value is part of the flow. Use another result.")

    def exists(self, location: Location = "", /, **format_kwargs: Any) -> bool:
        return True


class InlineResult(Result):
    """A small JSON value whose location is its own JSON text, so that the record holds all. Needs no store.

    Values over *max_bytes* of JSON are refused.
    """

    def __init__(self, value: Any = None, location: str | None = None, max_bytes: int = INLINE_BYTES) -> None:
        super().__init__(value, location, JSONSerializer())
        self.max_bytes = max_bytes

    def read(self, location: str) -> Result:
        try:
            return self._at(location, self.serializer.deserialize(location.encode()))
        except SerializerError as error:
            raise StoreError(f"An InlineResult cannot be read from its location: {error}") from error

    def write(self, value: Any, /, **format_kwargs: Any) -> Result:
        data = self.serializer.serialize(value)
        if len(data) > self.max_bytes:
            raise SerializerError(
                f"The value takes {len(data)} bytes as JSON, and this InlineResult holds at most {self.max_bytes} "
                "(max_bytes); return less, or keep it in a LocalResult, S3Result or FsspecResult."
            )
        return self._at(data.decode(), value)

    def exists(self, location: Location, /, **format_kwargs: Any) -> bool:
        try:
            json.loads(location if isinstance(location, str) else location(**format_kwargs))
        except ValueError:
            return False
        return True

    def format(self, /, **format_kwargs: Any) -> Result:
        return self.copy()  # JSON has braces of its own


def format_location(location: Location | None, /, **values: Any) -> str:
    """Return the location that a template or a function gives for these values.

    A template is filled by str.format; a function is called with the values by name. Both may use `date` (now, in
    UTC), `today` (2030-01-31) and `uuid` besides, which values of the same name replace. None gives
    "<year>/<month>/<day>/<uuid>.headwater_result", new with every call.
    """
    now = datetime.now(UTC)
    known = {"date": now, "today": now.date().isoformat(), "uuid": str(uuid.uuid4()), **values}
    if location is None:
        return f"{now.year}/{now.month}/{now.day}/{known['uuid']}.headwater_result"
    if callable(location):
        return _called(location, known)
    try:
        return location.format_map(known)
    except KeyError as error:
        problem = f"{error} is not known here; it can use {', '.join(sorted(known))}"
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        problem = f"{error}; write it as for str.format, with names in braces"
    raise FlowError(f'The location "{location}" cannot be filled in: {problem}.')


def _called(location: Callable[..., str], values: Mapping[str, Any]) -> str:
    name = getattr(location, "__name__", repr(location))
    try:
        found = location(**values)
    except Exception as error:
        raise FlowError(
            f'The location function "{name}" raised {type(error).__name__}: {error}. '
            f"It is called with {', '.join(sorted(values))} by name; take what it needs, and **_ for the others."
        ) from error
    if not isinstance(found, str):
        raise FlowError(f'The location function "{name}" returned {found!r}; return text.')
    return found
