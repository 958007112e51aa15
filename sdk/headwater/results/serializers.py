"""Serializers: how a value becomes bytes in a store, and a value again.

Two serializers are equal when their types and settings are. Reading runs code for PickleSerializer, so a store
is to be as trusted as the flow itself.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from io import BytesIO
from types import ModuleType
from typing import Any

from headwater.core.errors import FlowError


class SerializerError(FlowError):
    """A value does not fit the serializer, or the bytes are none of its making."""


class Serializer(ABC):
    """Turns values into bytes and back. Subclasses define both ways; settings are attributes."""

    @abstractmethod
    def serialize(self, value: Any) -> bytes:
        """Return the bytes of a value. Raises SerializerError when it has none."""

    @abstractmethod
    def deserialize(self, data: bytes) -> Any:
        """Return the value of these bytes. Raises SerializerError when they are not of this serializer."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({settings})"


class PickleSerializer(Serializer):
    """Any Python value that cloudpickle can take: the default."""

    def serialize(self, value: Any) -> bytes:
        import cloudpickle

        return bytes(_attempt(self, value, lambda: cloudpickle.dumps(value)))

    def deserialize(self, data: bytes) -> Any:
        import cloudpickle

        return _recover(self, lambda: cloudpickle.loads(data))


class JSONSerializer(Serializer):
    """Plain data as JSON, for other programs to read. Tuples come back as lists, the keys of a dict as strings."""

    def serialize(self, value: Any) -> bytes:
        text: str = _attempt(self, value, lambda: json.dumps(value, allow_nan=False))
        return text.encode()

    def deserialize(self, data: bytes) -> Any:
        return _recover(self, lambda: json.loads(data))


class DateTimeSerializer(Serializer):
    """A datetime as ISO 8601 text. Its distance from UTC is kept, the name of its time zone is not."""

    def serialize(self, value: Any) -> bytes:
        if not isinstance(value, datetime):
            raise SerializerError(f"DateTimeSerializer takes a datetime; got {type(value).__name__}.")
        return value.isoformat().encode()

    def deserialize(self, data: bytes) -> Any:
        return _recover(self, lambda: datetime.fromisoformat(data.decode()))


class PandasSerializer(Serializer):
    """A pandas DataFrame in one of the formats that pandas writes and reads, such as "csv" or "parquet".

    *serialize_kwargs* go to `DataFrame.to_<file_type>`, *deserialize_kwargs* to `pandas.read_<file_type>`.
    """

    def __init__(
        self,
        file_type: str,
        *,
        serialize_kwargs: Mapping[str, Any] | None = None,
        deserialize_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(file_type, str) or not file_type.isidentifier():
            raise SerializerError(f'PandasSerializer: {file_type!r} is no file type; give one such as "csv".')
        self.file_type = file_type
        self.serialize_kwargs = dict(serialize_kwargs or {})
        self.deserialize_kwargs = dict(deserialize_kwargs or {})

    def serialize(self, value: Any) -> bytes:
        pandas = self._pandas()
        if not isinstance(value, pandas.DataFrame):
            raise SerializerError(f"PandasSerializer takes a DataFrame; got {type(value).__name__}.")
        write = self._function(value, f"to_{self.file_type}")
        buffer = BytesIO()
        _attempt(self, value, lambda: write(buffer, **self.serialize_kwargs))
        return buffer.getvalue()

    def deserialize(self, data: bytes) -> Any:
        read = self._function(self._pandas(), f"read_{self.file_type}")
        return _recover(self, lambda: read(BytesIO(data), **self.deserialize_kwargs))

    def _pandas(self) -> ModuleType:
        try:
            return importlib.import_module("pandas")
        except ImportError:
            raise SerializerError(
                "PandasSerializer needs pandas, which is not installed here; add it to the flow's image."
            ) from None

    def _function(self, owner: Any, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] | None = getattr(owner, name, None)
        if found is None:
            raise SerializerError(f'PandasSerializer: pandas has no {name}; "{self.file_type}" is no file type of it.')
        return found


_COMPRESSIONS = ("bz2", "gzip", "lzma", "zlib")


class CompressedSerializer(Serializer):
    """Another serializer's bytes, compressed by "lzma", "gzip", "zlib" or "bz2"."""

    def __init__(self, serializer: Serializer, compression: str = "gzip") -> None:
        if not isinstance(serializer, Serializer):
            raise SerializerError(
                f"CompressedSerializer takes a serializer, such as PickleSerializer(); got {serializer!r}."
            )
        if compression not in _COMPRESSIONS:
            raise SerializerError(
                f'CompressedSerializer: unknown compression "{compression}"; give one of {", ".join(_COMPRESSIONS)}.'
            )
        self.serializer = serializer
        self.compression = compression

    def serialize(self, value: Any) -> bytes:
        # Without gzip's time stamp, the same value gives the same bytes.
        options = {"mtime": 0} if self.compression == "gzip" else {}
        return bytes(self._module().compress(self.serializer.serialize(value), **options))

    def deserialize(self, data: bytes) -> Any:
        plain: bytes = _recover(self, lambda: self._module().decompress(data))
        return self.serializer.deserialize(plain)

    def _module(self) -> Any:
        return importlib.import_module(self.compression)


def _attempt(serializer: Serializer, value: Any, write: Callable[[], Any]) -> Any:
    """Write a value; whatever its parts raise while they are written becomes a SerializerError."""
    try:
        return write()
    except Exception as error:
        raise SerializerError(
            f"{type(serializer).__name__} cannot write a value of type {type(value).__name__} ({_words(error)}); "
            "return plain data, or choose another serializer."
        ) from error


def _recover(serializer: Serializer, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:
        raise SerializerError(
            f"{type(serializer).__name__} cannot read the bytes ({_words(error)}); they are damaged, "
            "or were written by another serializer or with other packages."
        ) from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
