"""Addresses: where a stored result is, in words that another program can read it by.

An address is a URL and the name of a serializer, such as ("s3://bucket/etl/rows.bin", "pickle+gzip"). A small result
that is kept in the record itself is a `data:` URL. Credentials are not part of it: who reads it has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from headwater.core.errors import FlowError
from headwater.results.places import FsspecResult, LocalResult
from headwater.results.raw_stores import without_password
from headwater.results.result import InlineResult, Result
from headwater.results.serializers import (
    CompressedSerializer,
    DateTimeSerializer,
    JSONSerializer,
    PandasSerializer,
    PickleSerializer,
    Serializer,
)
from headwater.results.store import store_at

_DATA = "data:application/json,"

_PLAIN: dict[str, type[Serializer]] = {
    "pickle": PickleSerializer,
    "json": JSONSerializer,
    "datetime": DateTimeSerializer,
}


@dataclass(frozen=True)
class Address:
    """Where a result is: *url*, and *serializer*, the name of what wrote it there."""

    url: str
    serializer: str


# The address of None.
NOTHING = Address(_DATA + "null", "json")


def address_of(result: Result) -> Address | None:
    """Return the address of a result that was written; None for one that only its own flow's code can read."""
    name = _name_of(result.serializer)
    if name is None:
        return None
    location = result.final_location()
    if type(result) is InlineResult:
        return Address(_DATA + quote(location), name)
    if isinstance(result, LocalResult):
        return Address((Path(result.dir).expanduser().absolute() / location).as_uri(), name)
    if isinstance(result, FsspecResult):
        return Address(f"{without_password(result.url).rstrip('/')}/{location}", name)
    return None


def read_address(address: Address) -> Any:
    """Return the value at an address. Raises MissingError, StoreError and SerializerError."""
    serializer = _serializer_of(address.serializer)
    if address.url.startswith(_DATA):
        return serializer.deserialize(unquote(address.url.removeprefix(_DATA)).encode())
    folder, _, location = address.url.rpartition("/")
    if folder.startswith("file://"):
        folder, location = "file://" + unquote(folder.removeprefix("file://")), unquote(location)
    return serializer.deserialize(store_at(folder).read_bytes(location))


def _name_of(serializer: Serializer) -> str | None:
    if type(serializer) is CompressedSerializer:
        inner = _name_of(serializer.serializer)
        return None if inner is None else f"{inner}+{serializer.compression}"
    if type(serializer) is PandasSerializer and not serializer.deserialize_kwargs:
        return f"pandas.{serializer.file_type}"
    return next((name for name, known in _PLAIN.items() if type(serializer) is known), None)


def _serializer_of(name: str) -> Serializer:
    inner, _, compression = name.rpartition("+")
    if inner:
        return CompressedSerializer(_serializer_of(inner), compression)
    if name.startswith("pandas."):
        return PandasSerializer(name.removeprefix("pandas."))
    if name not in _PLAIN:
        raise FlowError(f'A result was written by the serializer "{name}", which is not known here; upgrade Headwater.')
    return _PLAIN[name]()
